"""What users download, used as they use it: real clients on the published files fail over alone."""

import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import start_daemon, write_config
from healthd.engines import process
from healthd.publishing.formats import FORMATS

LIMIT = 30.0
"""Seconds in which a client must have found another node; its tests come every second here."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def for_xray(document: bytes, port: int) -> dict[str, Any]:
    """The first configuration of the array, on another port, asking every second, not minute."""
    config: dict[str, Any] = json.loads(document)[0]
    config["inbounds"] = [inbound for inbound in config["inbounds"] if inbound["tag"] == "http"]
    config["inbounds"][0]["port"] = port
    config["observatory"]["probeInterval"] = "1s"
    return config


def for_sing_box(document: bytes, port: int) -> dict[str, Any]:
    """Without the tun, which would take this machine's own traffic; asking every second."""
    config: dict[str, Any] = json.loads(document)
    config["inbounds"] = [each for each in config["inbounds"] if each["tag"] == "mixed"]
    config["inbounds"][0]["listen_port"] = port
    config["outbounds"][1]["interval"] = "1s"
    return config


@dataclass
class Device:
    """A client that runs on a published file, and sends requests through it."""

    url: str
    port: int
    said: bytearray

    async def carries(self) -> bool:
        """Whether one request gets its 204."""
        try:
            async with httpx.AsyncClient(
                proxy=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=2.5
            ) as client:
                return (await client.get(self.url)).status_code == 204
        except httpx.HTTPError:
            return False

    async def wait(self) -> float:
        """Seconds until three requests in a row went well."""
        began, row = trio.current_time(), 0
        first = began
        while row < 3:
            assert trio.current_time() - began < LIMIT, self.said.decode(errors="replace")[-2000:]
            if await self.carries():
                first, row = (trio.current_time() if row == 0 else first), row + 1
            else:
                row = 0
                await trio.sleep(0.1)
        return first - began


@asynccontextmanager
async def device(
    argv: list[str], config: dict[str, Any], port: int, url: str, ca_file: Path | None
) -> AsyncIterator[Device]:
    """Run a client for as long as the block lasts."""
    made = Device(url, port, bytearray())
    async with trio.open_nursery() as nursery:
        run = partial(
            process.run,
            argv,
            stdin=json.dumps(config).encode(),
            on_output=made.said.extend,
            owner="a user's device",
            environment={"SSL_CERT_FILE": str(ca_file)} if ca_file else {},
        )
        pid = await nursery.start(run)
        yield made
        assert Path(f"/proc/{pid}").exists(), "it was the same process all the time"
        nursery.cancel_scope.cancel()


XRAY_KINDS = {"a": "vless-tls-vision", "b": "hysteria2", "c": "tuic"}
SING_BOX_KINDS = {"a": "ss-2022", "b": "tuic", "c": "hysteria2"}
"""The usual sing-box from PyPI knows no uTLS: a fleet that needs none. It cannot pin, as c does."""


@pytest.mark.parametrize(
    ("name", "kinds", "adapt", "run"),
    [
        ("xray", XRAY_KINDS, for_xray, ["run", "-c", "stdin:"]),
        ("sing-box", SING_BOX_KINDS, for_sing_box, ["run", "-c", "stdin"]),
    ],
)
async def test_device_fails_over(
    name, kinds, adapt: Callable[[bytes, int], dict[str, Any]], run, xray, sing_box, tmp_path
):
    """The file alone, without a refresh: whichever of its nodes dies, the same client goes on.

    Each dies once under a client, because that chooses by itself which of them it uses.
    """
    form, binary = FORMATS[name], {"xray": xray, "sing-box": sing_box}[name]
    with trio.fail_after(100):
        async with open_fleet(xray, list(kinds), sing_box=sing_box, kinds=kinds) as fleet:
            config = write_config(fleet, tmp_path)
            async with start_daemon(config) as daemon:
                await daemon.wait_until(lambda: daemon.links() == list(kinds), 30, "published")
                document = (daemon.public / form.file).read_bytes()
                meta = json.loads((daemon.public / "meta.json").read_bytes())
                (shown,) = (await daemon.status())["publications"]
                left_out = await daemon.metric("publication_left_out", format=name)
                command = [sys.executable, "-m", "healthd", "status", "-c", str(config)]
                listen = (await daemon.wait_event("daemon_started"))["listen"]
                config.write_text(config.read_text().replace("127.0.0.1:0", listen))
                told = await trio.run_process(command, capture_stdout=True)
            assert list(meta["left_out"][form.file]) == ["c"]
            assert (shown["left_out"], left_out) == (meta["left_out"], 1.0)
            assert f"{form.file} is without c (" in told.stdout.decode()

            argv, url, seconds = [binary, *run], fleet.checks[0].url, {}
            for dies in ("a", "b"):
                port = free_port()
                async with device(argv, adapt(document, port), port, url, fleet.ca_file) as client:
                    began = await client.wait()
                    await fleet.kill(dies)
                    seconds[dies] = (round(began, 2), round(await client.wait(), 2))
                await fleet.restore(dies)
            print(f"{name}: seconds to the first answer, and after a death: {seconds}")  # noqa: T201


@pytest.mark.slow
async def test_engine_that_dislikes_one_format(xray, sing_box, tmp_path):
    """A sing-box that refuses every document: its file stays, a dead node leaves all others.

    When it takes them again, its file follows by itself.
    """
    refusing, wrapper = tmp_path / "refusing", tmp_path / "sing-box"
    wrapper.write_text(
        f'#!/bin/sh\nif [ "$1" = check ] && [ -e "{refusing}" ]; then\n'
        f'echo "FATAL unknown field" >&2; exit 1; fi\nexec "{sing_box}" "$@"\n'
    )
    wrapper.chmod(0o755)
    kinds = {"a": "vless-tls-vision", "b": "ss-2022", "c": "ss-2022"}
    with trio.fail_after(100):
        async with open_fleet(xray, list(kinds), kinds=kinds) as fleet:
            change = {"engines": {"sing_box": str(wrapper)}}
            async with start_daemon(write_config(fleet, tmp_path, change=change)) as daemon:
                await daemon.wait_until(lambda: daemon.links() == list(kinds), 30, "published")
                file = daemon.public / "sing-box.json"
                before = file.read_bytes()
                refusing.touch()
                await fleet.kill("a")
                await daemon.wait_until(lambda: daemon.links() == ["b", "c"], 30, "a is out")

                event = await daemon.wait_event("publication_format_refused")
                (shown,) = (await daemon.status())["publications"]
                assert (event["level"], event["file"]) == ("error", "sing-box.json")
                assert "unknown field" in shown["not_written"]["sing-box.json"]
                assert file.read_bytes() == before
                assert await daemon.metric("publications_total", outcome="refused") >= 1

                refusing.unlink()
                await daemon.wait_until(lambda: file.read_bytes() != before, 40, "taken again")
                (shown,) = (await daemon.status())["publications"]
                assert shown["not_written"] == {}
