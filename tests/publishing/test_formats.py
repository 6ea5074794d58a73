"""All formats together: who is in which document, and whether there is one."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from healthd.endpoints import (
    Endpoint,
    Grpc,
    HttpUpgrade,
    Hysteria2,
    QuicTls,
    RawHttp,
    Reality,
    Tls,
    Vless,
    WebSocket,
    Xhttp,
)
from healthd.engines.xray_outbound import port_ranges
from healthd.fleet import subscriptions
from healthd.fleet.subscriptions import Outcome
from healthd.publishing.formats import FORMATS, render_all
from tests.builders import node
from tests.engines.sane import endpoints as sane_endpoints
from tests.publishing.fleets import ABOUT, ENDPOINTS, VARIED
from tests.strategies import any_endpoint, texts

NAMES = tuple(FORMATS)
FILES = ["links.txt", "clash.yaml", "sing-box.json", "xray.json"]


def fleets(endpoints: st.SearchStrategy[Endpoint]) -> st.SearchStrategy[list[Any]]:
    pairs = st.lists(st.tuples(endpoints, texts(min_size=1)), min_size=1, max_size=4)
    return pairs.map(
        lambda found: [
            node(f"n{number}", name=name, endpoint=endpoint)
            for number, (endpoint, name) in enumerate(found)
        ]
    )


def test_files():
    """The names that users' subscriptions go by."""
    assert [FORMATS[name].file for name in NAMES] == FILES


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(fleets(any_endpoint))
def test_every_node_is_in_the_document_or_left_out(fleet):
    """Whatever nodes there are: nothing fails, nobody is lost, equal input gives equal bytes."""
    made = render_all(fleet, NAMES, ABOUT, floor=1)

    assert made == render_all(fleet, NAMES, ABOUT, floor=1)
    for form in FORMATS.values():
        left_out = made.left_out.get(form.file, {})
        fit = [each for each in fleet if each.id not in left_out]
        assert all(left_out.values())
        if fit:
            form.verify(made.documents[form.file], fit)
        assert (form.file in made.documents, form.file in made.too_few) == (bool(fit), not fit)


TUIC, XHTTP, PLAIN = (
    node(name, endpoint=ENDPOINTS[name]) for name in ("tuic", "reality-xhttp", "plain")
)


@pytest.mark.parametrize(
    ("fleet", "floor", "too_few"),
    [
        ([], 0, "there is no node"),
        ([PLAIN], 9, None),
        ([PLAIN, TUIC], 1, None),
        (
            [PLAIN, TUIC],
            2,
            "it can express only 1 of 2 nodes, fewer than 2: Xray knows no TUIC",
        ),
        ([TUIC], 0, "it can express only 0 of 1 nodes, fewer than 1: Xray knows no TUIC"),
        ([PLAIN, XHTTP, TUIC], 2, None),
    ],
    ids=[
        *("no node", "the gate's own floor is not ours", "as many as the floor"),
        *("fewer than the floor", "none at all", "more than one is enough"),
    ],
)
def test_floor(fleet, floor, too_few):
    """A format is rendered unless nodes that it had to leave out bring it below the floor."""
    made = render_all(fleet, ["xray"], ABOUT, floor=floor)

    assert made.too_few == ({"xray.json": too_few} if too_few else {})
    assert set(made.documents) == ({"xray.json"} if too_few is None else set())
    words = {"tuic": "Xray knows no TUIC"}
    assert made.left_out == ({"xray.json": words} if TUIC in fleet else {})


def test_only_the_formats_asked_for():
    """A format that nobody named is neither rendered nor spoken of."""
    made = render_all([XHTTP], ["links"], ABOUT, floor=1)

    assert (list(made.documents), made.left_out, made.too_few) == (["links.txt"], {}, {})


def test_refused_by_an_engine():
    """A node that an engine has refused is left out of that document, with its words."""
    why = {("xray.json", PLAIN.fingerprint): "Xray refuses it: no"}
    made = render_all([PLAIN, XHTTP], NAMES, ABOUT, floor=1, refused=why)

    assert made.left_out["xray.json"] == {"plain": "Xray refuses it: no"}
    assert len(json.loads(made.documents["xray.json"])) == 2
    assert "clash.yaml" not in made.left_out


def test_order():
    """In every document the nodes stand in the failover order that was given."""
    fleet = [
        each
        for each in VARIED
        if all(form.why_not(each.endpoint) is None for form in FORMATS.values())
    ]
    assert len(fleet) > 5
    for order in (fleet, fleet[::-1]):
        documents = render_all(order, NAMES, ABOUT, floor=1).documents
        names = [each.name for each in order]

        for file in FILES:
            read = subscriptions.read(documents[file], max_nodes=100)
            found = [entry.name for entry in read.entries]
            assert [name for name in found if name in names] == names or file == "xray.json"
        assert [c["remarks"] for c in json.loads(documents["xray.json"])[1:]] == names


# ---------------------------------------------------------------------------- read back


def loosened(value: Any) -> Any:
    """What of an endpoint must survive each format: all that decides whether it is reached.

    A client may choose another hello, UDP beside Vision, gRPC's multi mode and REALITY's crawler;
    and what an engine takes when nothing is said may be said.
    """
    if not dataclasses.is_dataclass(value):
        return value
    found = {f.name: loosened(getattr(value, f.name)) for f in dataclasses.fields(value)}
    match value:
        case Tls() | Reality():
            found |= {"fingerprint": "", "spider_x": ""}
        case QuicTls():
            found |= {"alpn": value.alpn or ("h3",)}
            found |= {"insecure": value.insecure and not value.pinned_sha256}
        case Grpc():
            found |= {"multi": False}
        case RawHttp():
            found |= {"paths": (value.paths or ("/",))[:1]}
        case Xhttp():
            found |= {"extra": json.loads(value.extra or "{}")}
        case Vless():
            found |= {"flow": value.flow.removesuffix("-udp443")}
            found |= {"user": value.user.replace("-", "")}
        case Hysteria2() if value.hop:
            found |= {"hop": port_ranges(value.hop)}
        case _:
            pass
    if "transport" in found:
        named = value.security.server_name if value.security else ""
        found["transport"] = with_host(value.transport, named or value.address)
        if isinstance(found["security"], dict):
            found["security"]["server_name"] = named or value.address
        found["finalmask"] = json.loads(value.finalmask or "{}")
        if "user" in found:
            found["user"] = value.user.replace("-", "")
    return found | {"extra": found.get("extra") if isinstance(value, Xhttp) else ()}


def with_host(transport: Any, host: str) -> Any:
    """A transport as it is when its host is said, and its path too."""
    found = loosened(transport)
    if isinstance(transport, WebSocket | HttpUpgrade | Xhttp):
        path, _, early = transport.path.partition("?ed=")
        early = early if isinstance(transport, WebSocket) else ""
        found |= {"host": transport.host or host, "path": (path or "/") + early}
    if isinstance(transport, Grpc):
        found |= {"authority": transport.authority or host}
    return type(transport).__name__, found


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(endpoint=sane_endpoints)
def test_reads_back_as_the_same_endpoint(name, endpoint):
    """What our own reader of foreign subscriptions makes of a document is what it was made from."""
    form = FORMATS[name]
    if form.why_not(endpoint) is None:
        read = subscriptions.read(form.render([node("n", endpoint=endpoint)], ABOUT), max_nodes=9)

        assert [loosened(entry.endpoint) for entry in read.entries] == [loosened(endpoint)]


def test_all_of_a_varied_fleet_reads_back():
    """Every kind in one document: as many are read as were written, none is malformed."""
    made = render_all(VARIED, NAMES, ABOUT, floor=1)

    for file in FILES:
        read = subscriptions.read(made.documents[file], max_nodes=100)
        written = len(VARIED) - len(made.left_out.get(file, {}))
        assert (len(read.entries), written > 10) == (written, True)
        duplicate = written if file == "xray.json" else 0  # each node is there twice
        assert read.counts[Outcome.DUPLICATE] == duplicate
        assert (read.counts[Outcome.MALFORMED], read.counts[Outcome.UNSUPPORTED]) == (0, 0)
