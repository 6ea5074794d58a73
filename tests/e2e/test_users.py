"""Users of a real daemon: their files follow the fleet, and a token ends when its user does."""

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import tomli_w
import trio

from healthd.demo.fleet import open_fleet
from healthd.demo.running import RunningDaemon, start_daemon, write_config
from healthd.publishing.users import credentials

TOKENS = {
    "anna": "f3b1c7d9e0a24586f3b1c7d9e0a24586",
    "ben": "Zm9vYmFyYmF6cXV4MTIzNA",
    "cleo": "c5d9b7a1-3e2f-4c6b-8d0e-9f1a2b3c4d5e",
}
UUIDS = {name: str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in TOKENS}


def write_users(path: Path, *names: str, **tokens: str) -> None:
    """A users file for these."""
    users = [
        {"name": name, "token": tokens.get(name, TOKENS[name]), "uuid": UUIDS[name]}
        for name in names
    ]
    path.touch(0o600)
    path.write_text(tomli_w.dumps({"users": users}))


def files_of(daemon: RunningDaemon, token: str) -> dict[str, str]:
    """What a web server would serve a user, links decoded."""
    place = daemon.public / token
    if not place.is_dir():
        return {}
    found = {each.name: each.read_text() for each in place.iterdir()}
    return found | {"links.txt": base64.b64decode(found["links.txt"]).decode()}


async def test_users_of_a_running_daemon(xray: str, tmp_path: Path) -> None:
    """Each has his own; a faulty file changes nothing; who leaves is out within seconds."""
    users = tmp_path / "users.toml"
    write_users(users, "anna", "ben")
    with trio.fail_after(60):
        async with open_fleet(xray, ["a", "b"], checks=1) as fleet:
            change: dict[str, Any] = {"users": {"file": str(users)}}
            config = write_config(fleet, tmp_path, change=change)
            servers = fleet.servers.values()
            probing = {secret for each in servers for secret in credentials(each.endpoint)}
            async with start_daemon(config) as daemon:
                await daemon.wait_event("config_published", nodes=2)
                for name in ("anna", "ben"):
                    files = files_of(daemon, TOKENS[name])
                    assert files.keys() == {"links.txt", "clash.yaml", "sing-box.json", "xray.json"}
                    assert all(UUIDS[name] in text for text in files.values())
                    assert not any(secret in text for secret in probing for text in files.values())
                assert not (daemon.public / "links.txt").exists()

                users.write_text(users.read_text().replace(TOKENS["ben"], "guess-me"))
                daemon.reload()
                told = await daemon.wait_event("config_reload_failed")
                assert "users[1].token: can be guessed" in told["why"]
                assert files_of(daemon, TOKENS["ben"])

                write_users(users, "anna", "cleo")
                daemon.reload()
                await daemon.wait_until(
                    lambda: not files_of(daemon, TOKENS["ben"]), 10, "ben's token leads nowhere"
                )
                await daemon.wait_until(
                    lambda: bool(files_of(daemon, TOKENS["cleo"])), 10, "cleo has files"
                )
                assert files_of(daemon, TOKENS["anna"])
                meta = json.loads((daemon.public / "meta.json").read_text())
                assert meta["users"] == {"anna": {"nodes": 2}, "cleo": {"nodes": 2}}
                said = json.dumps([daemon.events, daemon.other_output, await daemon.status()])
                said += (await daemon.get("/metrics")).text + json.dumps(meta)
                secrets = {*TOKENS.values(), *UUIDS.values()}
                assert not any(secret in said for secret in secrets)
