"""Users' files: each with his own credentials, his own nodes, and nobody else's secrets."""

import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from healthd.config import FormatName
from healthd.endpoints import (
    SHADOWSOCKS_2022,
    Endpoint,
    Hysteria2,
    Shadowsocks,
    Trojan,
    Tuic,
    Vless,
    Vmess,
    fingerprint,
)
from healthd.model import Node
from healthd.publishing.about import About
from healthd.publishing.files import Files
from healthd.publishing.formats import FORMATS
from healthd.publishing.users import (
    User,
    Users,
    credentials,
    endpoint_for,
    floor_for,
    nodes_for,
    user_files,
)
from tests.strategies import any_endpoint, any_shadowsocks, uuids

UUID = "0a0b0c0d-1111-2222-3333-444455556666"
THEIRS = "b831381d-6324-4d53-ad4f-8cda48b30811"
KEY = base64.b64encode(b"user's own key16").decode()
SERVER_KEY = base64.b64encode(b"the server's key").decode()
PROBE_KEY = base64.b64encode(b"the probe's key!").decode()
TOKENS = [base64.urlsafe_b64encode(bytes(range(n, n + 18))).decode() for n in range(0, 180, 18)]
ABOUT = About(check_url="https://check.test/")
PLACE: dict[str, Any] = {"address": "192.0.2.1", "port": 443}


def user(number: int = 0, **keys: Any) -> User:
    """A user with all credentials, unless told otherwise."""
    given = {"uuid": UUID, "password": KEY} | keys
    return User(name=f"user{number}", token=TOKENS[number], **given)


def node(node_id: str, endpoint: Endpoint, *tags: str) -> Node:
    """A node of this name."""
    return Node(
        id=node_id,
        name=node_id,
        endpoint=endpoint,
        fingerprint=fingerprint(endpoint),
        tags=frozenset(tags),
    )


# --- credentials ------------------------------------------------------------------------------


VLESS = Vless(**PLACE, user=THEIRS)
AEAD = Shadowsocks(**PLACE, method="aes-256-gcm", password="theirs")
METHOD = "2022-blake3-aes-128-gcm"
SIP022 = Shadowsocks(**PLACE, method=METHOD, password=f"{SERVER_KEY}:{PROBE_KEY}")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (VLESS, replace(VLESS, user=UUID)),
        (Vmess(**PLACE, user=THEIRS), Vmess(**PLACE, user=UUID)),
        (Trojan(**PLACE, password="theirs"), Trojan(**PLACE, password=KEY)),
        (Hysteria2(**PLACE, auth="theirs"), Hysteria2(**PLACE, auth=KEY)),
        (
            Hysteria2(**PLACE, auth="theirs", obfs_password="all"),
            Hysteria2(**PLACE, auth=KEY, obfs_password="all"),
        ),
        (
            Tuic(**PLACE, user=THEIRS, password="theirs"),
            Tuic(**PLACE, user=UUID, password=KEY),
        ),
        (AEAD, replace(AEAD, password=KEY)),
        (SIP022, replace(SIP022, password=f"{SERVER_KEY}:{KEY}")),
        (
            replace(SIP022, password=f"{SERVER_KEY}:{SERVER_KEY}:{PROBE_KEY}"),
            replace(SIP022, password=f"{SERVER_KEY}:{SERVER_KEY}:{KEY}"),
        ),
    ],
)
def test_credentials_take_the_place_of_the_probes(endpoint: Endpoint, expected: Endpoint) -> None:
    """The user's own credentials, and everything else as it is."""
    assert endpoint_for(endpoint, user()) == expected


@pytest.mark.parametrize(
    ("endpoint", "keys", "why"),
    [
        (VLESS, {"uuid": None}, "needs a uuid, which the user has not"),
        (Trojan(**PLACE, password="x"), {"password": None}, "needs a password, which the user has"),
        (Hysteria2(**PLACE), {"password": None}, "needs a password, which the user has not"),
        (AEAD, {"password": None}, "needs a password, which the user has not"),
        (SIP022, {"password": None}, "needs a password, which the user has not"),
        (Tuic(**PLACE, user=THEIRS), {"uuid": None}, "needs a uuid and a password, and the user"),
        (Tuic(**PLACE, user=THEIRS), {"password": None}, "needs a uuid and a password, and the"),
        (
            replace(SIP022, password=SERVER_KEY),
            {},
            "has one key for everybody; per user its server",
        ),
        (SIP022, {"password": "c2hvcnQ="}, "needs a password that is a base64 key of 16 bytes"),
        (SIP022, {"password": "no key!"}, "needs a password that is a base64 key of 16 bytes"),
        (SIP022, {"password": "schlüssel"}, "needs a password that is a base64 key of 16 bytes"),
    ],
)
def test_why_a_user_cannot_have_a_node(endpoint: Endpoint, keys: dict[str, Any], why: str) -> None:
    """In words, without any credential in them."""
    words = endpoint_for(endpoint, user(**keys))

    assert isinstance(words, str)
    assert words.startswith(why)
    shown = [*credentials(endpoint), UUID, KEY, keys.get("password")]
    assert not any(each in words for each in shown if each and len(each) > 2)


def test_parameter_that_repeats_a_credential_is_not_handed_on() -> None:
    """What means nothing to us may still be what the probes log in with."""
    extra = (("x-id", THEIRS), ("x-note", "kept"), ("x-auth", f"Basic {THEIRS}"))

    changed = endpoint_for(replace(VLESS, extra=extra), user())
    assert changed == replace(VLESS, user=UUID, extra=(("x-note", "kept"),))


@given(any_endpoint, uuids, st.none() | any_shadowsocks)
def test_nothing_but_the_credentials_changes(
    endpoint: Endpoint, uuid: str, other: Shadowsocks | None
) -> None:
    """With the old credentials put back it is the old endpoint; else the words say why not."""
    password = other.password.rpartition(":")[2] if other else KEY
    if not password.isprintable():
        password = KEY
    them = user(uuid=uuid, password=password)
    changed = endpoint_for(endpoint, them)
    if isinstance(changed, str):
        assert isinstance(endpoint, Shadowsocks)
        assert endpoint.method in SHADOWSOCKS_2022
        return
    assert set(credentials(changed)) <= {uuid, password}
    assert set(changed.extra) <= set(endpoint.extra)
    parts = {
        name: getattr(endpoint, name)
        for name in ("user", "password", "auth", "extra")
        if hasattr(endpoint, name)
    }
    assert replace(changed, **parts) == endpoint


def test_order_names_and_what_is_left_out() -> None:
    """Nodes stay as they were ordered and called; those that the user cannot use are told."""
    fleet = [
        node("b", Trojan(**PLACE, password="x")),
        node("a", VLESS, "asia"),
        node("c", replace(VLESS, port=444)),
    ]
    usable, left_out = nodes_for(fleet, user(password=None))

    assert [each.id for each in usable] == ["a", "c"]
    assert [each.endpoint for each in usable] == [
        replace(VLESS, user=UUID),
        replace(VLESS, user=UUID, port=444),
    ]
    assert usable[0] == replace(fleet[1], endpoint=replace(VLESS, user=UUID))
    assert left_out == {"b": "needs a password, which the user has not"}


# --- documents --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floor", "own", "of_all", "expected"),
    [(5, 10, 10, 5), (5, 5, 10, 3), (5, 1, 10, 1), (0, 3, 3, 1), (5, 0, 10, 1), (2, 0, 0, 1)],
)
def test_floor_of_a_user(floor: int, own: int, of_all: int, expected: int) -> None:
    """In proportion to his nodes, rounded up, and never none."""
    assert floor_for(floor, own, of_all) == expected


def rendered(
    fleet: Sequence[Node],
    users: Sequence[User],
    tiers: Mapping[str, Sequence[str]],
    names: Sequence[FormatName],
    *,
    floor: int,
    refused: Mapping[tuple[str, str], str] | None = None,
) -> Files:
    """The files of these users."""
    everyone = Users(tuple(users), tiers)
    return user_files(fleet, everyone, names, ABOUT, floor=floor, refused=refused or {})


def links_of(document: bytes) -> list[str]:
    """The links of a links.txt."""
    lines = base64.b64decode(document).decode().split("\n")
    return [line for line in lines if not line.startswith("#")]


def test_each_user_has_a_folder_with_his_nodes() -> None:
    """Tier and tags say which nodes; the gate says in which order; the token is the folder."""
    fleet = [
        node("slow", replace(VLESS, port=1), "basic"),
        node("fast", replace(VLESS, port=2), "premium"),
        node("asia", replace(VLESS, port=3), "asia"),
    ]
    users = [
        user(0, tier="gold"),
        user(1, tier="basic"),
        user(2, tier="basic", tags=("asia",)),
    ]
    tiers = {"gold": (), "basic": ("basic",)}
    made = rendered(fleet, users, tiers, ["links", "xray"], floor=2)

    ports = {
        name: [link.partition("192.0.2.1:")[2][0] for link in links_of(document)]
        for name, document in made.documents.items()
        if name.endswith("/links.txt")
    }
    assert ports == {
        f"{TOKENS[0]}/links.txt": ["1", "2", "3"],
        f"{TOKENS[1]}/links.txt": ["1"],
        f"{TOKENS[2]}/links.txt": ["1", "3"],
    }
    assert {name.partition("/")[2] for name in made.documents} == {"links.txt", "xray.json"}
    assert made.kept == set()
    assert made.notes.users == {
        "user0": {"nodes": 3},
        "user1": {"nodes": 1},
        "user2": {"nodes": 2},
    }
    assert [[each.id for each in sample.nodes] for sample in made.samples] == [
        ["slow", "fast", "asia"]
    ]


def test_user_without_a_node_keeps_what_he_has() -> None:
    """No document is made for him; each of its names is one to be kept."""
    fleet = [node("a", VLESS, "asia"), node("b", VLESS, "asia")]
    made = rendered(fleet, [user(tags=("europe",))], {}, ["links", "clash"], floor=1)

    assert made.documents == {}
    assert made.kept == {f"{TOKENS[0]}/links.txt", f"{TOKENS[0]}/clash.yaml"}
    assert made.notes.users["user0"]["nodes"] == 0
    assert made.notes.users["user0"]["not_written"].keys() == {"links.txt", "clash.yaml"}


def test_format_below_a_users_floor_is_kept() -> None:
    """Xray knows no TUIC: of this user's nodes it could express one of four, and two are needed."""
    tuic = Tuic(**PLACE, user=THEIRS, password="x")
    fleet = [node("v", VLESS), *(node(f"t{n}", replace(tuic, port=n)) for n in (1, 2, 3))]
    made = rendered(fleet, [user()], {}, ["links", "xray"], floor=2)

    assert made.documents.keys() == {f"{TOKENS[0]}/links.txt"}
    assert made.kept == {f"{TOKENS[0]}/xray.json"}
    assert made.notes.left_out["xray.json"].keys() == {"t1", "t2", "t3"}
    assert made.notes.users["user0"]["not_written"].keys() == {"xray.json"}


def test_nodes_that_a_user_lacks_a_credential_for_do_not_count_for_his_floor() -> None:
    """Half of the fleet needs a password; whoever has none gets the other half."""
    fleet = [
        node("v", VLESS),
        *(node(f"t{n}", Trojan(**PLACE | {"port": n}, password="x")) for n in (1, 2, 3)),
    ]
    made = rendered(fleet, [user(password=None)], {}, ["links"], floor=4)

    assert made.kept == set()
    assert len(links_of(made.documents[f"{TOKENS[0]}/links.txt"])) == 1
    assert made.notes.users["user0"]["left_out"].keys() == {"t1", "t2", "t3"}


def test_refused_node_is_left_out_of_that_document() -> None:
    """What an engine refuses for one user it refuses for all: they differ in credentials only."""
    fleet = [node("a", VLESS), node("b", replace(VLESS, port=2))]
    refused = {("xray.json", fleet[0].fingerprint): "Xray refuses it: no"}
    made = rendered(fleet, [user(0), user(1)], {}, ["links", "xray"], floor=1, refused=refused)

    assert made.notes.left_out == {"xray.json": {"a": "Xray refuses it: no"}}
    for token in TOKENS[:2]:
        assert len(links_of(made.documents[f"{token}/links.txt"])) == 2
        assert b'"port": 2' in made.documents[f"{token}/xray.json"].replace(b'":2', b'": 2')
        assert b'"port":443' not in made.documents[f"{token}/xray.json"].replace(b": ", b":")


def test_few_samples_hold_every_node() -> None:
    """Engines are asked about the largest selections, until every node was in one."""
    fleet = [node(f"n{n}", replace(VLESS, port=n), f"t{n}") for n in range(1, 7)]
    tags = [("t1",), ("t1", "t2", "t3"), ("t2",), ("t3", "t4"), ("t4",), ("t5", "t6"), ("t1", "t3")]
    users = [user(number, tags=each) for number, each in enumerate(tags)]
    made = rendered(fleet, users, {}, ["links"], floor=1)

    found = [[each.id for each in sample.nodes] for sample in made.samples]
    assert found == [["n1", "n2", "n3"], ["n3", "n4"], ["n5", "n6"]]
    assert all(sample.rendering.documents for sample in made.samples)


TAGS = st.lists(st.sampled_from(["asia", "basic", "fast"]), unique=True, max_size=2).map(tuple)
TIERS = st.dictionaries(st.sampled_from(["gold", "basic"]), TAGS)
LONG = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=16, max_size=16)


@st.composite
def fleets(draw: st.DrawFn) -> list[Node]:
    """Nodes of all kinds, with credentials that can be found again in a text."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        endpoint = draw(any_endpoint)
        mine = f"probe{number}{draw(LONG)}"
        match endpoint:
            case Vless() | Vmess():
                endpoint = replace(endpoint, user=mine)
            case Tuic():
                endpoint = replace(endpoint, user=str(draw(st.uuids())), password=mine)
            case Trojan():
                endpoint = replace(endpoint, password=mine)
            case Hysteria2():
                endpoint = replace(endpoint, auth=mine)
            case Shadowsocks() if endpoint.method not in SHADOWSOCKS_2022:
                endpoint = replace(endpoint, password=mine)
        made.append(node(f"n{number}", endpoint, *draw(TAGS)))
    return made


@st.composite
def some_users(draw: st.DrawFn) -> list[User]:
    """Users with credentials that can be found again in a text."""
    made = []
    for number in range(draw(st.integers(1, 3))):
        length = draw(st.sampled_from([16, 32]))
        key = base64.b64encode(draw(st.binary(min_size=length, max_size=length))).decode()
        has = draw(st.sampled_from(["both", "uuid", "password"]))
        made.append(
            user(
                number,
                uuid=None if has == "password" else str(draw(st.uuids(version=4))),
                password=None if has == "uuid" else key,
                tier=draw(st.sampled_from([None, "gold", "basic"])),
                tags=draw(TAGS),
            )
        )
    return made


def server_keys(endpoint: Endpoint) -> list[str]:
    """The keys that a multi-user server of SIP022 has in common for all."""
    found = isinstance(endpoint, Shadowsocks) and endpoint.method in SHADOWSOCKS_2022
    return endpoint.secrets()[0].split(":")[:-1] if found else []


def readable(document: bytes, file: str) -> str:
    """All text of a document, as it is and decoded."""
    text = document.decode()
    if file != "links.txt":
        return text
    lines = base64.b64decode(document).decode().split("\n")
    inner = [each.partition("://")[2].partition("#")[0] for each in lines]
    # The JSON of VMess and the user of Shadowsocks are in base64 once more.
    parts = [part for each in inner for part in (each, each.partition("@")[0])]
    return "\n".join([text, *lines, *map(decoded, parts)])


def decoded(text: str) -> str:
    """What is in base64, in any of its variants; nothing if it is not."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        raw = base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except ValueError:
        return ""
    return raw.decode("utf-8", "replace")


def escaped(secret: str) -> set[str]:
    """A secret as documents may have it: plain, in JSON and in a URL."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}


EXAMPLES = settings(
    max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@EXAMPLES
@given(fleets(), some_users(), TIERS, st.integers(0, 4))
def test_nobody_gets_anothers_credentials(
    fleet: list[Node], users: list[User], tiers: dict[str, tuple[str, ...]], floor: int
) -> None:
    """Whatever fleet, users and tiers: his own credentials only, his own nodes, in order."""
    made = rendered(fleet, users, tiers, list(FORMATS), floor=floor)

    probing = {secret for each in fleet for secret in credentials(each.endpoint)}
    # A server's own key is for all its users; one that is also a user's could not be told apart.
    assume(probing.isdisjoint(key for each in fleet for key in server_keys(each.endpoint)))
    of_users = {
        each.name: {secret for secret in (each.uuid, each.password) if secret} for each in users
    }
    assert made.notes.users.keys() == of_users.keys()
    for them in users:
        foreign = probing.union(*(of_users[name] for name in of_users if name != them.name))
        foreign -= of_users[them.name]
        for file in (form.file for form in FORMATS.values()):
            name = f"{them.token}/{file}"
            assert (name in made.documents) != (name in made.kept)
            if name in made.documents:
                text = readable(made.documents[name], file)
                found = {each for each in foreign if any(e in text for e in escaped(each))}
                assert found == set()
        for sample in made.samples:
            assert [each.id for each in sample.nodes] == sorted(each.id for each in sample.nodes)
    folders = {name.partition("/")[0] for name in (*made.documents, *made.kept)}
    assert folders == {them.token for them in users}
    told = json.dumps(made.notes.told()) + repr(made)
    hidden = probing.union(*of_users.values(), {them.token for them in users})
    assert not any(secret in told for secret in hidden)


@EXAMPLES
@given(fleets(), some_users(), TIERS)
def test_documents_hold_what_a_user_may_use_and_read_back(
    fleet: list[Node], users: list[User], tiers: dict[str, tuple[str, ...]]
) -> None:
    """Every document of every user reads back as exactly his permitted nodes, in order."""
    made = rendered(fleet, users, tiers, list(FORMATS), floor=0)

    for them, form in itertools.product(users, FORMATS.values()):
        own = list(tiers.get(them.tier or "", ()))
        everything = (them.tier in tiers and not own) or not (tiers or them.tags)
        wanted = {*own, *them.tags}
        may = [each for each in fleet if everything or each.tags & wanted]
        nodes = [each for each in nodes_for(may, them)[0] if form.why_not(each.endpoint) is None]
        document = made.documents.get(f"{them.token}/{form.file}")
        assert (document is None) == (not nodes)
        if document is not None:
            form.verify(document, nodes)
