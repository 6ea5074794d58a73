"""Subscriptions end to end: whatever a panel does, what users download stays right."""

import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import tomli_w
import trio

from healthd.demo.fleet import Fleet, open_fleet
from healthd.demo.running import RunningDaemon, start_daemon
from healthd.fleet import links
from tests.builders import vless
from tests.e2e.support import free_port, healthd, swift_config, wait_for
from tests.panels import Panel, ok, open_panel

IDS = [f"n{number}" for number in range(1, 9)]
HTML = b"<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"


def subscription(fleet: Fleet, ids: Sequence[str], names: Sequence[str] = ()) -> bytes:
    """What a panel gives for these servers, under these names or their own."""
    named = zip(ids, names or ids, strict=True)
    return "\n".join(
        links.write(fleet.servers[each].endpoint, name) for each, name in named
    ).encode()


def panel_config(fleet: Fleet, directory: Path, panel: Panel, own: int = 0) -> Path:
    """A configuration with a source, and so many of the nodes in itself."""
    path = swift_config(fleet, directory, {"http": {"listen": f"127.0.0.1:{free_port()}"}})
    sections = tomllib.loads(path.read_text())
    sections["nodes"] = sections["nodes"][:own]
    sections["sources"] = [{"name": "panel", "url": panel.url, "refresh": "500ms"}]
    path.write_text(tomli_w.dumps(sections))
    return path


@asynccontextmanager
async def watched(daemon: RunningDaemon) -> AsyncIterator[list[list[str]]]:
    """Read what is published again and again, as users do; each change is noted."""
    seen: list[list[str]] = []

    async def read() -> None:
        while True:
            if (found := daemon.links()) and (not seen or seen[-1] != found):
                seen.append(found)
            elif seen and not found:
                seen.append([])
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        yield seen
        nursery.cancel_scope.cancel()


async def answered(daemon: RunningDaemon, outcome: str, times: int = 2) -> None:
    """Wait until the panel's answers had this outcome so many times more."""
    before = await daemon.metric("source_fetches_total", source="panel", outcome=outcome)

    async def were() -> bool:
        now = await daemon.metric("source_fetches_total", source="panel", outcome=outcome)
        return now >= before + times

    await wait_for(were, 20, f"{times} answers {outcome}")


async def test_a_panel_in_trouble(xray, tmp_path):
    """Empty, a web page, thousands, half: refused and told once; the operator's word takes half."""
    with trio.fail_after(120):
        async with open_fleet(xray, IDS, together=True) as fleet, open_panel() as panel:
            good = ok(subscription(fleet, IDS) + b"\nvless://broken")
            panel.says = good
            config = panel_config(fleet, tmp_path / "x", panel)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == IDS, 30, "all eight")
                thousands = [
                    links.write(vless(address="127.0.0.1", port=number), f"x{number}")
                    for number in range(1, 10_001)
                ]
                troubles = {
                    "the answer is empty": b"",
                    "the answer is an HTML page": HTML,
                    "more nodes than max_nodes = 1000": "\n".join(thousands).encode(),
                    "the answer holds 4 nodes where 8 are in force": subscription(fleet, IDS[:4]),
                }
                async with watched(daemon) as seen:
                    for words, trouble in troubles.items():
                        panel.says = ok(trouble)
                        await answered(daemon, "refused")
                        told = [e for e in daemon.named("source_refused") if words in e["why"]]
                        assert len(told) == 1, words
                        assert (told[0]["level"], told[0]["nodes_kept"]) == ("error", 8)
                        assert await daemon.metric("source_ok", source="panel") == 0
                    panel.says = b"HTTP/1.1 500 No\r\n\r\n"
                    await answered(daemon, "failed")
                    panel.says = ok(subscription(fleet, IDS[:4]))
                    await answered(daemon, "refused")
                    assert seen == [IDS]

                listed = await healthd(config, "source", "list")
                assert listed.code == 1
                assert "\npanel: the answer holds 4 nodes where 8 are in force" in listed.out
                assert "healthd source accept panel" in listed.out
                assert "panel, line 9: " in listed.out
                (as_json,) = (await healthd(config, "source", "list", "--json")).json
                assert (as_json["ok"], as_json["acceptable"], as_json["nodes"]) == (False, True, 8)
                shown = await healthd(config, "status")
                assert "source panel: the answer holds 4 nodes" in shown.out

                accepted = await healthd(config, "source", "accept", "panel")
                assert (accepted.code, accepted.out) == (0, "panel: 4 nodes, 8 before\n")
                await daemon.wait_until(lambda: daemon.links() == IDS[:4], 10, "the half")
                assert (await healthd(config, "source", "list")).code == 0
                again = await healthd(config, "source", "accept", "panel")
                assert (again.code, again.err.count("nothing to accept")) == (1, 1)

                panel.says = good
                await daemon.wait_until(lambda: daemon.links() == IDS, 30, "all eight again")
                assert await daemon.metric("source_nodes", source="panel") == 8
                everything = str(daemon.events) + str(daemon.other_output)
                everything += (await daemon.get("/metrics")).text
                everything += (await daemon.get("/api/v1/status")).text
                assert "SECRET" not in everything


async def test_names_order_and_a_restart(xray, tmp_path):
    """Renaming and reordering changes no id, state or history; a dead panel no restart."""
    ids = IDS[:3]
    with trio.fail_after(90):
        async with open_fleet(xray, ids, together=True) as fleet, open_panel() as panel:
            panel.says = ok(subscription(fleet, ids), 'ETag: "one"')
            config = panel_config(fleet, tmp_path / "x", panel)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == ids, 30, "published")
                before = {node["id"]: node for node in (await daemon.status())["nodes"]}
                assert panel.header("if-none-match")[-1] == '"one"'
                panel.says = ok(subscription(fleet, ids[::-1], ["c", "b", "a"]))
                await daemon.wait_until(lambda: daemon.links() == ["c", "b", "a"], 10, "renamed")
                after = {node["id"]: node for node in (await daemon.status())["nodes"]}
                assert list(after) == list(before)[::-1]
                for node_id in before:
                    assert after[node_id]["since"] == before[node_id]["since"]
                    assert len(daemon.named("node_up", node=node_id)) == 1

            panel.says = b"HTTP/1.1 502 No\r\n\r\n"
            async with start_daemon(config) as daemon, watched(daemon) as seen:
                await daemon.wait_event("source_failed")
                await daemon.wait_until(
                    lambda: any(e["mode"] == "normal" for e in daemon.named("gate_mode_changed")),
                    30,
                    "the first round",
                )
                await trio.sleep(1)  # several looks of the reader behind the first decision
                assert seen == [["c", "b", "a"]]
                (told,) = daemon.named("source_recalled")
                assert told["nodes"] == 3
                assert set(before) == {node["id"] for node in (await daemon.status())["nodes"]}
                history = await healthd(config, "history", next(iter(before)), "--json")
                assert len(history.json["transitions"]) == 1


async def test_nothing_shrinks_at_the_start(xray, tmp_path):
    """A source of which nothing is known yet is waited for, before anything is taken away."""
    with trio.fail_after(90):
        async with open_fleet(xray, IDS[:4], together=True) as fleet, open_panel() as panel:
            good = ok(subscription(fleet, IDS[2:4]))
            panel.says = good
            config = panel_config(fleet, tmp_path / "x", panel, own=2)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == IDS[:4], 30, "published")
            (kept,) = (tmp_path / "x" / "state" / "sources").iterdir()
            kept.write_bytes(b"damaged")

            async def say_late(stream: trio.SocketStream, _: str) -> None:
                await trio.sleep(2.5)  # its own nodes are judged by then, the first round is on
                await stream.send_all(good)

            panel.says = say_late
            async with start_daemon(config) as daemon, watched(daemon) as seen:
                await daemon.wait_event("source_read")
                judged = {e["node"] for e in daemon.named("node_up")}
                await daemon.wait_until(
                    lambda: any(e["mode"] == "normal" for e in daemon.named("gate_mode_changed")),
                    30,
                    "the first round",
                )
                await trio.sleep(1)  # several looks of the reader behind the first decision
                assert seen == [IDS[:4]]
                assert daemon.named("source_not_recalled")
                assert len(judged) <= 2


async def test_reload(xray, tmp_path):
    """Sources come and go with SIGHUP, and with them their nodes, series and files."""
    with trio.fail_after(90):
        async with open_fleet(xray, IDS[:4], together=True) as fleet, open_panel() as panel:
            panel.says = ok(subscription(fleet, IDS[:2]))
            config = panel_config(fleet, tmp_path / "x", panel)
            written = tmp_path / "nodes.txt"
            written.write_bytes(subscription(fleet, IDS[1:4]))
            more = f'[[sources]]\nname = "file"\nfile = "{written}"\nrefresh = "200ms"\n'
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == IDS[:2], 30, "published")
                both = config.read_text() + more
                config.write_text(both)
                daemon.reload()
                await daemon.wait_until(lambda: daemon.links() == IDS[:4], 20, "both")
                assert await daemon.metric("source_entries", source="file", outcome="taken") == 2
                head, tables = both.split("[[sources]]", 1)
                config.write_text(head + tables[tables.index("[[") :])
                daemon.reload()
                await daemon.wait_until(
                    lambda: sorted(daemon.links()) == IDS[1:4], 20, "those of the file"
                )
                metrics = (await daemon.get("/metrics")).text
                assert 'source="panel"' not in metrics
                assert 'healthd_source_ok{source="file"} 1.0' in metrics
                kept = tmp_path / "x" / "state" / "sources"
                assert [path.name for path in kept.iterdir()] == ["file.kept"]
                written.write_bytes(subscription(fleet, IDS[2:4]))
                await daemon.wait_until(lambda: daemon.links() == IDS[2:4], 20, "the file changed")


async def test_check_config_reads_files(xray, tmp_path):
    """The check of a configuration counts what a file holds, and asks no URL."""
    with trio.fail_after(60):
        async with open_fleet(xray, IDS[:2]) as fleet, open_panel() as panel:
            config = panel_config(fleet, tmp_path / "x", panel, own=1)
            written = tmp_path / "nodes.txt"
            written.write_bytes(subscription(fleet, IDS[:2]))
            more = f'[[sources]]\nname = "file"\nfile = "{written}"\n'
            config.write_text(config.read_text() + more)
            sound = await healthd(config, "check-config")
            assert sound.code == 0, sound.err
            assert "source 'file': 2 taken, 0 duplicate, 0 unsupported, 0 malformed" in sound.out
            written.write_bytes(HTML)
            bad = await healthd(config, "check-config")
            assert bad.code == 2
            assert f"source 'file': {written}: the answer is an HTML page" in bad.err
            assert panel.asked == []
