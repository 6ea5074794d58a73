"""A publication with users: what is served, to whom, and for how long."""

import base64
import json
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from healthd.config import PublishConfig
from healthd.engines.dialect import EngineName
from healthd.errors import PublishError
from healthd.model import Node
from healthd.publishing.publisher import Clocks, Outcome, Publication
from healthd.publishing.users import User, Users
from healthd.verdict.decision import Decision, Mode
from tests.fakes import USER, endpoint, make_node

WALL = 1e9
UUIDS = [f"0a0b0c0d-1111-2222-3333-44445555666{n}" for n in range(3)]
TOKENS = ["f3b1c7d9e0a24586f3b1c7d9e0a24586", "Zm9vYmFyYmF6cXV4MTIzNA", "Another-token-for_0123ben"]
TIERS = {"gold": (), "basic": ("basic",)}

A = make_node("a", endpoint(port=1), tags=["basic"])
B = make_node("b", endpoint(port=2))
C = make_node("c", endpoint(port=3), tags=["basic"])


def user(number: int, tier: str = "gold", **keys: Any) -> User:
    """A user with a UUID."""
    given = {"name": f"user{number}", "token": TOKENS[number], "uuid": UUIDS[number]} | keys
    return User(tier=tier, **given)


EVERYONE = (user(0), user(1, "basic"))


class Stage:
    """A publication whose clock and engine are the test's."""

    def __init__(self, path: Path, users: Sequence[User] | None, **config: Any) -> None:
        self.now = WALL
        self.path = path
        self.answer: str | None = None
        self.asked: list[bytes] = []
        table = PublishConfig(name="main", directory=path, formats=("links", "xray"), **config)
        clocks = Clocks(wall=lambda: self.now, monotonic=lambda: self.now)
        everyone = None if users is None else Users(tuple(users), TIERS)
        self.publication = Publication(
            table, "http://check.test/", self._ask, clocks, users=everyone
        )
        self.publication.directory.prepare()
        self.publication.load()

    async def _ask(self, _: EngineName, config: bytes) -> str | None:
        self.asked.append(config)
        return self.answer

    async def publish(self, *nodes: Node, floor: int = 1) -> Outcome:
        """Publish these nodes, in this order."""
        decision = Decision(mode=Mode.NORMAL, nodes=nodes, floor=floor)
        return await self.publication.publish(decision)

    def names(self) -> set[str]:
        """What a web server serves."""
        top = [each for each in self.path.iterdir() if not each.name.startswith(".")]
        files = [file for each in top for file in (each.iterdir() if each.is_dir() else [each])]
        return {str(file.relative_to(self.path)) for file in files}

    def xray(self, token: str) -> str:
        """A user's xray.json."""
        return (self.path / token / "xray.json").read_text()

    def ports(self, token: str) -> list[int]:
        """The ports of a user's nodes, in order."""
        text = base64.b64decode((self.path / token / "links.txt").read_bytes()).decode()
        return [int(port) for port in re.findall(r"@127\.0\.0\.1:(\d+)", text)]

    def meta(self) -> Any:
        """What meta.json tells."""
        return json.loads((self.path / "meta.json").read_text())


def files_of(*tokens: str) -> set[str]:
    """What is served when these users have files."""
    of_users = {f"{token}/{file}" for token in tokens for file in ("links.txt", "xray.json")}
    return {"meta.json", *of_users}


async def test_each_user_has_his_own_and_nobody_the_common_ones(tmp_path: Path) -> None:
    """By token; with his credentials and his tier's nodes; the probes' are nowhere."""
    stage = Stage(tmp_path, EVERYONE)
    assert await stage.publish(A, B, C) is Outcome.PUBLISHED

    assert stage.names() == files_of(*TOKENS[:2])
    ports = {token: stage.ports(token) for token in TOKENS[:2]}
    assert ports == {TOKENS[0]: [1, 2, 3], TOKENS[1]: [1, 3]}
    for token, own in zip(TOKENS[:2], UUIDS[:2], strict=True):
        assert own in stage.xray(token)
    everything = [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()]
    assert not any(USER.encode() in each for each in everything)


async def test_same_again_writes_nothing(tmp_path: Path) -> None:
    """Users or not: an unchanged fleet leaves everything as it is, also after a restart."""
    stage = Stage(tmp_path, EVERYONE)
    await stage.publish(A, B)

    assert await stage.publish(A, B) is Outcome.UNCHANGED
    again = Stage(tmp_path, EVERYONE)
    assert await again.publish(A, B) is Outcome.UNCHANGED
    assert again.asked == []


async def test_only_whose_nodes_change_gets_new_files(tmp_path: Path) -> None:
    """The others' keep their time of modification, in the same generation."""
    stage = Stage(tmp_path, EVERYONE)
    await stage.publish(A, B, C)
    stage.now += 100
    assert await stage.publish(A, C) is Outcome.PUBLISHED

    times = {t: (tmp_path / t / "xray.json").stat().st_mtime for t in TOKENS[:2]}
    assert times == {TOKENS[0]: WALL + 100, TOKENS[1]: WALL}
    assert stage.meta()["generation"] == 2


async def test_meta_names_users_and_no_secret(tmp_path: Path) -> None:
    """Counts, and what is left out, by the name; no token, UUID or password."""
    stage = Stage(tmp_path, (*EVERYONE, user(2, uuid=None, password="s3cret-pw")))
    await stage.publish(A, B)

    text = (tmp_path / "meta.json").read_text()
    meta = json.loads(text)
    assert meta["users"]["user0"] == {"nodes": 2}
    assert meta["users"]["user1"] == {"nodes": 1}
    assert meta["users"]["user2"]["nodes"] == 0
    assert meta["users"]["user2"]["left_out"].keys() == {"a", "b"}
    assert meta["users"]["user2"]["not_written"].keys() == {"links.txt", "xray.json"}
    assert (meta["files"], meta["folders"]["folders"]) == ({}, 2)
    assert not any(secret in text for secret in (*TOKENS, *UUIDS, "s3cret-pw", USER))
    assert stage.names() == files_of(*TOKENS[:2])


async def test_user_without_a_node_keeps_his_files(tmp_path: Path) -> None:
    """All nodes of his tier are out: better old files than none; they come anew with a node."""
    stage = Stage(tmp_path, EVERYONE)
    await stage.publish(A, B)
    before = stage.xray(TOKENS[1])
    stage.now += 100
    assert await stage.publish(B) is Outcome.PUBLISHED

    path = tmp_path / TOKENS[1] / "xray.json"
    assert (path.read_text(), path.stat().st_mtime) == (before, WALL)
    assert stage.meta()["users"]["user1"]["not_written"].keys() == {"links.txt", "xray.json"}
    assert await stage.publish(B) is Outcome.UNCHANGED
    stage.now += 100
    await stage.publish(B, C)
    assert path.read_text() != before
    assert path.stat().st_mtime == WALL + 200


async def test_token_stops_working_when_its_user_goes(tmp_path: Path) -> None:
    """With the next look, though the gate holds everything else as it is."""
    stage = Stage(tmp_path, EVERYONE)
    await stage.publish(A, B)
    after = Stage(tmp_path, EVERYONE[:1])
    held = Decision(mode=Mode.LAST_GOOD, nodes=None)
    assert await after.publication.publish(held) is Outcome.KEPT

    assert after.names() == files_of(TOKENS[0])
    assert await after.publish(A, B) is Outcome.PUBLISHED
    assert after.names() == files_of(TOKENS[0])
    assert not (tmp_path / ".current" / TOKENS[1]).exists()


async def test_new_token_is_a_new_folder(tmp_path: Path) -> None:
    """The old one leads nowhere from then on."""
    await Stage(tmp_path, EVERYONE).publish(A, B)
    after = Stage(tmp_path, (EVERYONE[0], user(1, "basic", token=TOKENS[2])))
    assert await after.publish(A, B) is Outcome.PUBLISHED

    assert after.names() == files_of(TOKENS[0], TOKENS[2])
    assert UUIDS[1] in after.xray(TOKENS[2])


async def test_users_come_and_go(tmp_path: Path) -> None:
    """From the common files to users' own, and back."""
    common = {"links.txt", "xray.json", "meta.json"}
    for users, expected in ((None, common), (EVERYONE, files_of(*TOKENS[:2])), (None, common)):
        stage = Stage(tmp_path, users)
        assert await stage.publish(A, B) is Outcome.PUBLISHED
        assert stage.names() == expected
        assert ("users" in stage.meta()) == (users is not None)


async def test_engines_are_asked_about_each_node_once(tmp_path: Path) -> None:
    """Not for every user: they differ in their credentials only."""
    everyone = [user(n, uuid=UUIDS[n]) for n in range(3)]
    alone, together = Stage(tmp_path / "1", everyone[:1]), Stage(tmp_path / "3", everyone)
    await alone.publish(A, B)
    await together.publish(A, B)

    assert alone.asked
    assert together.asked == alone.asked


async def test_refused_document_goes_to_nobody(tmp_path: Path) -> None:
    """When an engine refuses everything, all keep theirs; the links go on; no secret in words."""
    stage = Stage(tmp_path, EVERYONE)
    await stage.publish(A, B)
    before = {token: stage.xray(token) for token in TOKENS[:2]}
    stage.answer = f"Failed to start: bad user {UUIDS[0]}"
    assert await stage.publish(C, B) is Outcome.PUBLISHED

    assert {token: stage.xray(token) for token in TOKENS[:2]} == before
    assert [stage.ports(token) for token in TOKENS[:2]] == [[3, 2], [3]]
    assert stage.meta()["not_written"].keys() == {"xray.json"}
    words = (tmp_path / "meta.json").read_text()
    assert not any(secret in words for secret in (*TOKENS, *UUIDS))
    assert await stage.publish(C, B) is Outcome.UNCHANGED
    assert stage.names() == files_of(*TOKENS[:2])


async def test_refused_document_goes_to_nobody_at_first(tmp_path: Path) -> None:
    """Without earlier ones there is none for anybody, until the engine takes it."""
    stage = Stage(tmp_path, EVERYONE)
    stage.answer = "Failed to start: unknown field"
    await stage.publish(A, B)
    assert stage.names() == {"meta.json", *(f"{token}/links.txt" for token in TOKENS[:2])}

    stage.answer = None
    assert await stage.publish(A, B) is Outcome.PUBLISHED
    assert stage.names() == files_of(*TOKENS[:2])


async def test_bad_node_that_a_user_has_alone(tmp_path: Path) -> None:
    """The engine takes the others' documents: so it is the node's fault, not the format's."""
    bad = make_node("bad", endpoint(port=6666), tags=["alone"])
    tiers = {"basic": ("basic",), "alone": ("alone",)}
    stage = Stage(tmp_path, (user(0, "basic"), user(1, "alone")))
    stage.publication.users = Users((user(0, "basic"), user(1, "alone")), tiers)

    async def ask(_: EngineName, document: bytes) -> str | None:
        return "bad port" if b"6666" in document else None

    stage.publication.ask = ask
    assert await stage.publish(A, C, bad) is Outcome.PUBLISHED

    assert stage.publication.fault is None
    assert stage.meta()["left_out"] == {"xray.json": {"bad": "Xray refuses it: bad port"}}
    assert stage.ports(TOKENS[0]) == [1, 3]
    assert stage.names() == files_of(*TOKENS[:2]) - {f"{TOKENS[1]}/xray.json"}


async def test_no_token_in_the_words_of_a_failure(tmp_path: Path) -> None:
    """A path that cannot be written is told without the user's folder in it."""
    stage = Stage(tmp_path, EVERYONE)
    (tmp_path / TOKENS[1]).mkdir()
    with pytest.raises(PublishError) as failed:
        await stage.publish(A, B)

    assert failed.value.outcome == Outcome.FAILED
    assert str(tmp_path) in failed.value.why
    assert TOKENS[1] not in f"{failed.value} {failed.value.why} {failed.value.__cause__}"


async def test_token_that_cannot_be_withdrawn_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on working: that must be told, and tried again, without showing it."""
    await Stage(tmp_path, EVERYONE).publish(A, B)
    after = Stage(tmp_path, EVERYONE[:1])

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(PublishError) as failed:
        await after.publication.publish(Decision(mode=Mode.LAST_GOOD, nodes=None))

    assert failed.value.outcome == Outcome.FAILED
    assert "Permission denied" in failed.value.why
    assert TOKENS[1] not in failed.value.why


async def test_all_users_are_of_one_generation(tmp_path: Path) -> None:
    """Every folder leads through the one link, and its files are readable by the group only."""
    stage = Stage(tmp_path, EVERYONE)
    for nodes in ((A, B), (B, A), (C, A)):
        await stage.publish(*nodes)

    links = [(tmp_path / token).readlink() for token in TOKENS[:2]]
    assert [str(link) for link in links] == [f".current/{token}" for token in TOKENS[:2]]
    places = {(tmp_path / token).resolve().parent for token in TOKENS[:2]}
    assert places == {tmp_path / ".generations" / "00000003"}
    modes = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.rglob("*") if each.is_file()}
    assert modes == {0o640}
