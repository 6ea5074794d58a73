"""Included files in a running daemon: SIGHUP reads them again; a fault in one changes nothing."""

import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import start_daemon, write_config


async def test_reload_of_an_included_file(xray, tmp_path):
    """Its nodes come and go with it; while it is faulty, all goes on with what was there."""
    with trio.fail_after(60):
        async with open_fleet(xray, ["a", "b"], checks=1) as fleet:
            config, more = write_config(fleet, tmp_path), tmp_path / "nodes.toml"
            head, of_a, of_b = config.read_text().split("[[nodes]]")
            config.write_text(f'include = ["nodes.toml"]\n{head}[[nodes]]{of_a}')
            more.touch(0o600)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ["a"], 20, "a")
                more.write_text(f"[[nodes]]{of_b}")
                daemon.reload()
                await daemon.wait_until(lambda: daemon.links() == ["a", "b"], 20, "a and b")

                more.write_text(f"[[nodes]]{of_b}rol = 1\n")
                daemon.reload()
                told = await daemon.wait_event("config_reload_failed")
                assert f"{more}: nodes[0].rol: unknown key; did you mean 'role'?" in told["why"]
                assert daemon.links() == ["a", "b"]

                more.write_text("")
                daemon.reload()
                await daemon.wait_until(lambda: daemon.links() == ["a"], 10, "a alone")
