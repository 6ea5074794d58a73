"""SIGHUP: everything in the file is sound and taken up by difference, or nothing changes."""

import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import start_daemon, write_config


async def test_reload_by_difference(xray, tmp_path):
    """A node that is added is probed, a removed one goes with its series, the others stay as is."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a", "b", "c"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            whole = config.read_text()
            head, *tables = whole.split("[[nodes]]")
            config.write_text("[[nodes]]".join([head, tables[0], tables[1]]))
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ["a", "b"], 20, "published")
                config.write_text("[[nodes]]".join([head, tables[1], tables[2]]))
                daemon.reload()
                await daemon.wait_event("config_reloaded", nodes=2)
                await daemon.wait_until(lambda: daemon.links() == ["b", "c"], 10, "b and c")
                assert len(daemon.named("node_up", node="b")) == 1  # never started anew
                metrics = (await daemon.get("/metrics")).text
                assert 'node="a"' not in metrics
                assert 'healthd_node_up{node="b"} 1.0' in metrics
                assert "healthd_config_last_reload_successful 1.0" in metrics


async def test_bad_reload_changes_nothing(xray, tmp_path):
    """A faulty file is told in log and metric; the daemon goes on with the old one."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            sound = config.read_text()
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ["a"], 20, "published")
                config.write_text(sound.replace("[gate]", "[gate]\nflor = 0.5"))
                daemon.reload()
                told = await daemon.wait_event("config_reload_failed")
                assert "gate.flor: unknown key" in told["why"]
                metrics = (await daemon.get("/metrics")).text
                assert "healthd_config_last_reload_successful 0.0" in metrics
                assert 'healthd_node_up{node="a"} 1.0' in metrics
                config.write_text(sound.replace("127.0.0.1:0", "127.0.0.1:1"))
                daemon.reload()
                fixed = "http.listen: cannot change while healthd runs"
                while not any(fixed in e["why"] for e in daemon.named("config_reload_failed")):
                    await trio.sleep(0.05)
                config.write_text(sound)
                daemon.reload()
                await daemon.wait_event("config_reloaded")
                metrics = (await daemon.get("/metrics")).text
                assert "healthd_config_last_reload_successful 1.0" in metrics
                assert daemon.links() == ["a"]


async def test_changed_endpoint_is_judged_anew(xray, tmp_path):
    """A node whose link changes keeps its place in the file while it is judged anew."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a", "b"], checks=1) as fleet:
            config = write_config(fleet, tmp_path)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ["a", "b"], 20, "published")
                old, new = fleet.servers["b"].link, fleet.servers["a"].link
                config.write_text(config.read_text().replace(old, new))
                daemon.reload()
                await daemon.wait_event("config_reloaded")
                while len(daemon.named("node_up", node="b")) < 2:
                    await trio.sleep(0.05)
                assert len(daemon.named("node_up", node="a")) == 1
                assert daemon.links() == ["a", "b"]
                assert not [e for e in daemon.named("config_published") if e["removed"]]
