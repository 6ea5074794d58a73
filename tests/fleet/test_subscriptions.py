"""Which form an answer has, what is counted in it, and what is no subscription at all."""

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.endpoints import fingerprint
from healthd.fleet import links
from healthd.fleet.naming import clean_name
from healthd.fleet.reading import MOST_ENTRIES, LeftOut, Outcome, Reading
from healthd.fleet.subscriptions import MOST_BYTES, Unreadable, read
from tests.fleet.subscription_corpus import (
    CLASH,
    CORPUS,
    LINKS,
    PLAIN,
    SING_BOX,
    SIP008,
    UUID,
    XRAY,
)
from tests.strategies import any_endpoint, any_shadowsocks, texts

SECRETS = (UUID, "secret", "AAECAwQFBgcICQoLDA0ODw", "acaeUm7I44nRB", "abababab")


def named(body, **limits):
    return [entry.name for entry in read(body, **({"max_nodes": 100} | limits)).entries]


def why_unreadable(body, max_nodes=100):
    with pytest.raises(Unreadable) as caught:
        read(body, max_nodes=max_nodes)
    return str(caught.value)


def folded(text, width):
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


BASE64 = base64.b64encode(PLAIN).decode()
URL_SAFE = base64.urlsafe_b64encode(PLAIN).decode()


class TestForms:
    @pytest.mark.parametrize(
        "body",
        [
            PLAIN,
            b"\xef\xbb\xbf" + PLAIN,
            PLAIN.replace(b"\n", b"\r\n"),
            b"# only a comment\n\n  " + b"\n  ".join(PLAIN.splitlines()),
            BASE64.encode(),
            BASE64.rstrip("=").encode(),
            URL_SAFE.encode(),
            URL_SAFE.rstrip("=").encode() + b"\n",
            folded(BASE64, 76).encode(),
        ],
    )
    def test_links(self, body):
        """Links come as text or in any kind of base64; comments and blank lines are none."""
        reading = read(body, max_nodes=100)

        assert [each.name for each in reading.entries] == ["DE-1", "NL-1", "FI-1", "SE-1", "NO-1"]
        assert [links.parse(link)[0] for link in LINKS] == [
            each.endpoint for each in reading.entries
        ]
        assert reading.left_out == ()

    @pytest.mark.parametrize("body", [b"#profile-title: x\n#x", b"proxies:\n", b"proxies: []\n"])
    def test_none(self, body):
        """A subscription may hold no node at all; that is for the guard to judge."""
        assert Reading() == read(body, max_nodes=100)

    def test_where_links_stand(self):
        """A link stands in a line, counted from 1."""
        reading = read(PLAIN, max_nodes=100)

        assert [each.where for each in reading.entries] == [
            "line 3",
            "line 4",
            "line 5",
            "line 6",
            "line 7",
        ]

    @pytest.mark.parametrize("wrap", [bytes, base64.b64encode])
    def test_clash(self, wrap):
        """Clash YAML is known by its proxies; anchors elsewhere in it are none of our business."""
        reading = read(wrap(CLASH.encode()), max_nodes=100)

        assert [each.name for each in reading.entries] == [
            "DE-1",
            "NL-1",
            "FI-1",
            "SE-1",
            "NO-1",
            "IS-1",
        ]
        assert reading.entries[0].where == "proxies[0]"
        assert reading.left_out == ()

    def test_clash_as_json(self):
        """A Clash configuration may be written as JSON."""
        proxy = {"name": "a", "type": "ss", "server": "192.0.2.1", "port": 1}
        proxy |= {"cipher": "aes-128-gcm", "password": "pw"}

        assert named(json.dumps({"proxies": [proxy]}).encode()) == ["a"]

    def test_sing_box(self):
        """In sing-box JSON, outbounds have a type; those that lead nowhere are not counted."""
        reading = read(json.dumps(SING_BOX).encode(), max_nodes=100)

        assert [(each.name, each.where) for each in reading.entries] == [
            ("de-1", "outbounds[2]"),
            ("se-1", "outbounds[3]"),
        ]
        assert reading.left_out == ()

    def test_xray(self):
        """In Xray JSON, outbounds have a protocol; a list names its nodes by remarks."""
        reading = read(json.dumps(XRAY).encode(), max_nodes=100)

        assert [(each.name, each.where) for each in reading.entries] == [
            ("DE-1", "[1].outbounds[0]"),
            ("IS-1", "[2].outbounds[0]"),
        ]
        assert [
            LeftOut("[0].outbounds[0]", Outcome.DUPLICATE, "is the same node as [1].outbounds[0]"),
            LeftOut("[0].outbounds[1]", Outcome.DUPLICATE, "is the same node as [2].outbounds[0]"),
        ] == list(reading.left_out)

    def test_single_xray_configuration(self):
        """A configuration alone, without a list around it, is read as well."""
        reading = read(json.dumps(XRAY[0]).encode(), max_nodes=100)

        assert [(each.name, each.where) for each in reading.entries] == [
            ("n-01", "outbounds[0]"),
            ("n-02", "outbounds[1]"),
        ]

    @pytest.mark.parametrize("document", [SIP008, SIP008["servers"]])
    def test_sip008(self, document):
        """SIP008 is a list of servers, its predecessor nothing but that list."""
        reading = read(json.dumps(document).encode(), max_nodes=100)

        assert [(each.name, each.where) for each in reading.entries] == [("FI-1", "servers[0]")]

    @pytest.mark.parametrize("body", CORPUS)
    def test_corpus(self, body):
        """Every body that fuzzers begin with can be read, and nothing of it is refused."""
        counts = read(body, max_nodes=100).counts

        assert counts[Outcome.TAKEN] > 0
        assert counts[Outcome.UNSUPPORTED] == counts[Outcome.MALFORMED] == 0


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the answer is empty"),
        (b" \r\n\t\n", "the answer is empty"),
        (b"\xef\xbb\xbf", "the answer is empty"),
        (b"<!DOCTYPE html><title>Login</title>", "the answer is an HTML page"),
        (b"\n  <html>", "the answer is an HTML page"),
        (base64.b64encode(b"<html>"), "the answer is an HTML page"),
        (b"\x1f\x8b\x08rest", "the answer is a compressed file"),
        (b"PK\x03\x04", "the answer is a compressed file"),
        (b"a\0b", "the answer is binary data, or text in UTF-16"),
        ("vless://".encode("utf-16"), "the answer is binary data, or text in UTF-16"),
        (b"vless://\xff", "the answer is binary data, or text that is not UTF-8"),
        (b"No such user", "the answer is text, but no form of subscription that is known here"),
        (b"notfound", "the answer is text, but no form of subscription that is known here"),
        (b"a", "the answer is text, but no form of subscription that is known here"),
        (b"{}", "the answer is JSON, but no form of subscription that is known here"),
        (b"[]", "the answer is JSON, but no form of subscription that is known here"),
        (b"[1, {}]", "the answer is JSON, but no form of subscription that is known here"),
        (b'{"error": 404}', "the answer is JSON, but no form of subscription that is known here"),
        (b'{"outbounds": 1}', "the answer is JSON, but no form of subscription that is known here"),
        (b'{"outbounds": [', "the answer is broken JSON (line 1)"),
        (b'{\n"a": 1,\n}', "the answer is broken JSON (line 3)"),
        (b'{"a": NaN}', "the answer is JSON with NaN or Infinity in it, which is JavaScript"),
        (b'{"a": 1, "a": 2}', "the answer is JSON with a key that is given twice"),
        (b"[" + b"1" * 5000 + b"]", "the answer is JSON with a number of too many digits"),
        (b"[" * 100_000, "the answer is JSON that is nested too deeply"),
        (b'{"proxies": 1}', "the answer is JSON, but no form of subscription that is known here"),
        (b"proxies: 1", "the answer is a Clash configuration whose proxies are no list"),
        (b"proxies: {}", "the answer is a Clash configuration whose proxies are no list"),
        (b"proxies:\n- {", "the answer is broken YAML (line 3)"),
        (b"proxies:\n- a: b: c", "the answer is broken YAML (line 2)"),
        (b"proxies:\n- \x01", "the answer is YAML with control characters in it"),
        (b"proxies: []\nproxies: []", "the answer is YAML with a key that is given twice"),
        (b"proxies:\n- {a: 1, a: 1}", "the answer is YAML with a key that is given twice"),
        (b"proxies:\n- {[a]: 1}", "the answer is YAML with a key that is no text"),
        (b"{a}: 1\nproxies: []\n", "the answer is broken JSON (line 1)"),
        (b"? [a]\n: 1\nproxies: []", None),
        (b"- 1\n- |\n proxies: 1\n", None),
        (b"- a\n--- \nproxies:\n", "the answer is YAML, but no Clash configuration"),
        (b"proxy-groups:\n- a\n", "the answer is a Clash configuration without proxies"),
        (b"proxies:\n- " + b"[" * 100, "the answer is YAML that is nested too deeply"),
        (b"a: " + b"[" * 100 + b"\nproxies:\n", None),
        (b"proxies:\n- [" + b"a," * 3000 + b"]", "the answer is YAML of unreasonable size"),
    ],
)
def test_no_subscription(body, why):
    """What is no subscription is refused in words that say what came instead."""
    assert why_unreadable(body) == (why or why_unreadable(body))


class TestCounts:
    def test_every_line_once(self):
        """Each link ends in exactly one outcome; why it was left out quotes nothing secret."""
        lines = [
            LINKS[0],
            "no link at all",
            f"wireguard://{UUID}@192.0.2.1:1#x",
            LINKS[0].replace("#DE-1", "#renamed"),
            "trojan://secret@192.0.2.9:443?security=tls&allowInsecure=1#x",
            f"vless://{UUID}@192.0.2.9:0#x",
            "// a comment",
            "; another",
        ]

        reading = read("\n".join(lines).encode(), max_nodes=100)

        assert [(each.where, each.name) for each in reading.entries] == [("line 1", "DE-1")]
        assert [(each.where, each.outcome) for each in reading.left_out] == [
            ("line 2", Outcome.MALFORMED),
            ("line 3", Outcome.UNSUPPORTED),
            ("line 4", Outcome.DUPLICATE),
            ("line 5", Outcome.UNSUPPORTED),
            ("line 6", Outcome.MALFORMED),
        ]
        assert reading.counts == {
            Outcome.TAKEN: 1,
            Outcome.DUPLICATE: 1,
            Outcome.UNSUPPORTED: 2,
            Outcome.MALFORMED: 2,
        }
        assert not any(secret in each.why for secret in SECRETS for each in reading.left_out)

    @pytest.mark.parametrize("glue", [" ", ", ", "\t", " | ", ""], ids=repr)
    def test_several_links_in_a_line(self, glue):
        """Each is a node: none is lost, and none lends its credentials to another's name."""
        lines = [glue.join(LINKS), "ss://" + glue.join(["x", "vless://y@wss://z"])]

        reading = read("\n".join(lines).encode(), max_nodes=100)

        assert reading.entries[1].where == "line 1, link 2"
        assert [(each.endpoint, each.name) for each in reading.entries] == [
            (each.endpoint, each.name) for each in read(PLAIN, max_nodes=100).entries
        ]
        assert [each.where for each in reading.left_out] == ["line 2", "line 2, link 2"]

    def test_one_node_twice_in_a_line(self):
        """It is a duplicate there as well."""
        reading = read(f"{LINKS[0]} {LINKS[0]}".encode(), max_nodes=100)

        assert len(reading.entries) == 1
        assert reading.counts[Outcome.DUPLICATE] == 1

    def test_names_of_outcomes(self):
        """The outcomes are what metrics and summaries call them."""
        assert [str(outcome) for outcome in read(PLAIN, max_nodes=9).counts] == [
            "taken",
            "duplicate",
            "unsupported",
            "malformed",
        ]

    def test_too_many_nodes(self):
        """As many nodes as allowed are read; one more refuses all of them, with the mend."""
        assert len(read(PLAIN, max_nodes=5).entries) == 5
        why = "the answer has more nodes than max_nodes = 4; raise it if that is right"
        assert why_unreadable(PLAIN, max_nodes=4) == why

    def test_too_many_entries(self):
        """Repeating one node without end is refused as well."""
        most = MOST_ENTRIES * 2
        body = f"{LINKS[0]}\n".encode()

        assert read(body * most, max_nodes=2).counts[Outcome.DUPLICATE] == most - 1
        assert why_unreadable(body * (most + 1), max_nodes=2) == (
            f"the answer has more than {most} entries, while max_nodes = 2; "
            "raise it if that is right"
        )

    @given(st.lists(st.sampled_from([*LINKS, "junk", "ssr://x", "# x", ""]), max_size=12))
    def test_nothing_is_lost(self, lines):
        """Taken and left out together are all lines that hold anything."""
        reading = read(("#\nvless://\n" + "\n".join(lines)).encode(), max_nodes=100)

        counted = {
            f"line {2 + at}"
            for at, line in enumerate(["vless://", *lines])
            if line not in ("# x", "")
        }
        found = [each.where for each in reading.entries]
        found += [each.where for each in reading.left_out]
        assert sorted(counted) == sorted(found)
        assert sum(reading.counts.values()) == len(counted)


class TestRoundTrips:
    @given(st.lists(st.tuples(any_endpoint, texts()), max_size=4), st.booleans())
    def test_links(self, nodes, packed):
        """Whatever can be written as links is read again, in order, each node once."""
        distinct = list({fingerprint(e): (e, n) for e, n in reversed(nodes)}.values())[::-1]
        body = "\n".join(["#profile-title: x", *(links.write(e, n) for e, n in distinct)]).encode()

        reading = read(base64.b64encode(body) if packed else body, max_nodes=10)
        named = [(endpoint, clean_name(name)) for endpoint, name in distinct]
        assert named == [(each.endpoint, each.name) for each in reading.entries]
        assert reading.left_out == ()

    @given(any_shadowsocks, texts())
    def test_sip008(self, endpoint, name):
        """So is whatever Shadowsocks there is in SIP008."""
        server = {
            "remarks": name,
            "server": endpoint.address,
            "server_port": endpoint.port,
            "method": endpoint.method,
            "password": endpoint.password,
        }

        (entry,) = read(json.dumps({"servers": [server]}).encode(), max_nodes=1).entries
        assert (fingerprint(endpoint), clean_name(name)) == (
            fingerprint(entry.endpoint),
            entry.name,
        )


def _hostile():
    size = 2 * 2**20
    for unit in (
        *(b"[", b"{", b"[],", b'{"a":', b"<", b"a", b"\n", b"a\n", b"#\n", b"://", b"vless://\n"),
        *(b"- ", b"- -", b"a: ", b"proxies:\n", b"&a *a ", b'"', b'"\\', b" ", b"%41", b"? ", b"'"),
    ):
        for before, after in (
            (b"", b""),
            (b"proxies:\n", b""),
            (b"proxies:\n- ", b""),
            (b"x: ", b"\nproxies: []\n"),
            (b"vless://u@h:1?a=", b""),
            (b'{"outbounds": [', b"]}"),
        ):
            yield before + unit * (size // len(unit)) + after
    yield b"a: &a [x,x]\nb: &b [*a,*a]\nproxies:\n" + b"- {server: *b, type: ss}\n" * 100
    yield b'{"outbounds": [' + b",".join([b"1" * 4000] * 500) + b"]}"
    yield b'{"outbounds": [' + b",".join([b"1." + b"1" * 4000] * 500) + b"]}"
    yield b'{"outbounds": [' + b"{}," * (size // 3) + b"{}]}"
    yield base64.b64encode(b"x" * size)


def test_hostile_answers_are_quick():
    """No answer of 2 MB takes more than 2 s (here 0.2 s at most), or raises anything else."""
    slowest, count = 0.0, 0
    for body in _hostile():
        began = time.process_time()
        try:
            read(body, max_nodes=1000)
        except Unreadable as why:
            assert len(str(why)) < 120
        slowest, count = max(slowest, time.process_time() - began), count + 1
    assert count > 100
    assert slowest < 2.0


def test_longest_answer():
    """More than 64 MiB are not looked at."""
    assert why_unreadable(b"v" * (MOST_BYTES + 1)) == "the answer is longer than 64 MiB"


def test_too_many_lines():
    """More than a million lines are not looked at one by one."""
    body = b"vless://x" + b"\n" * 1_000_001 + b"x"

    assert why_unreadable(body) == "the answer has more than 1000000 lines"


@given(st.sampled_from(CORPUS), st.data())
def test_damaged_answers(body, data):
    """However a body is damaged: it is read, or refused, and no secret is told."""
    cut = data.draw(st.integers(0, len(body)))
    into = data.draw(
        st.binary(max_size=4) | st.sampled_from([b"\n", b'"', b"{", b"]", b": ", b"*"])
    )
    damaged = body[:cut] + into + body[data.draw(st.integers(cut, min(cut + 9, len(body)))) :]

    try:
        reading = read(damaged, max_nodes=100)
    except Unreadable as why:
        told = str(why)
    else:
        told = "".join(each.where + each.why for each in reading.left_out)
    assert not any(secret in told for secret in SECRETS)
