"""config.toml: every fault at once, each at its key and in words; no credential in any of them."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from healthd import config
from healthd.config import (
    CLOUDFLARE,
    GSTATIC,
    Config,
    ProbeConfig,
    SourceConfig,
    included_names,
    join_listen,
    parse,
    parse_duration,
    split_listen,
)
from healthd.errors import ConfigError
from healthd.model import Role
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, vless

HERE = Path(__file__).parent
BAD_CONFIGS = HERE / "bad_configs"
EXAMPLE = (HERE.parent / "config.example.toml").read_text(encoding="utf-8")

LINK = f"vless://{USER}@192.0.2.10:443?security=none"
NODE = f'[[nodes]]\nid = "de-1"\nlink = "{LINK}"\n'
PUBLISH = '[[publish]]\nname = "users"\ndirectory = "/srv/users"\n'

NOT_A_DURATION = 'must be a duration in quotes, such as "30s", "250ms" or "1h30m"'
NOT_A_LIST = 'must be a list, such as ["a", "b"]'
NOT_A_NAME = "must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
NOT_A_URL = "must be a URL such as https://www.gstatic.com/generate_204"
NOT_A_PREFIX = (
    "must be at most 40 letters, digits, '.', '_' or '-', beginning with a letter or digit; "
    '"" for none'
)
NOT_A_HEADER = 'must be one header, such as "Authorization: Bearer TOKEN"'
NOT_LISTENABLE = 'must be an IP address and port, such as "127.0.0.1:9477"'
NO_NODES = (
    "nodes: there are none; add a [[nodes]] table with an id and a link, or a [[sources]] table"
)
NO_PUBLISH = "publish: nothing to publish; add a [[publish]] table with a directory"


def never_reached(takes: int, ends: int) -> str:
    return (
        f"cannot be reached: it takes {takes} s, but verdict.window_failures ends a node after "
        f"{ends} s; make this smaller, or that larger"
    )


EXPECTED = {
    "bulk-bytes-too-few": ["probe.bulk_bytes: input should be greater than or equal to 1024"],
    "bulk-every-zero": ["probe.bulk_every: input should be greater than or equal to 1"],
    "bulk-url-of-other-scheme": [f"probe.bulk_url: {NOT_A_URL}"],
    "ca-file-as-number": ["probe.ca_file: must be a path in quotes"],
    "check-url-twice": ["probe.urls: must name one to four check URLs, all different"],
    "client-refresh-as-number": [f"publish[0].client_refresh: {NOT_A_DURATION}"],
    "control-socket-relative": ["control.socket: must be an absolute path"],
    "control-socket-too-long": [
        "control.socket: is longer than a socket's path can be (107 bytes)"
    ],
    "damping-cap-below-one-fall": [
        "verdict.damping_cap: input should be greater than or equal to 1000"
    ],
    "damping-hold-above-cap": [
        "verdict.damping_hold: cannot exceed verdict.damping_cap: no node would ever be held"
    ],
    "damping-release-not-below-hold": [
        (
            "verdict.damping_release: must be below verdict.damping_hold, or a held node is let "
            "go at once"
        )
    ],
    "deadline-not-below-interval": [
        "probe.deadline: must be shorter than probe.interval, or slots overlap"
    ],
    "directory-relative": ["publish[0].directory: must be an absolute path"],
    "directory-twice": ["publish[1].directory: '/srv/users' is already taken by publish[0]"],
    "down-slow-before-fast": [
        "verdict.down_slow_after: cannot be shorter than verdict.down_fast_for"
    ],
    "duration-as-fraction": [f"probe.interval: {NOT_A_DURATION}"],
    "duration-as-number": [f"probe.interval: {NOT_A_DURATION}"],
    "duration-in-other-digits": [f"gate.spacing: {NOT_A_DURATION}"],
    "duration-negative": [f"gate.spacing: {NOT_A_DURATION}"],
    "duration-too-long": ["verdict.fall_after: is longer than 400 days"],
    "duration-too-short": ['probe.fast_interval: must be at least "100ms"'],
    "duration-with-blank": [f"gate.debounce: {NOT_A_DURATION}"],
    "duration-without-unit": [f"probe.interval: {NOT_A_DURATION}"],
    "empty": [NO_NODES, NO_PUBLISH],
    "engine-ca-file-relative": ["engines.ca_file: must be an absolute path"],
    "engine-of-hysteria2-unknown": ["engines.hysteria2: must be 'xray' or 'sing-box'"],
    "engine-without-name": ["engines.xray: string should have at least 1 character"],
    "fall-after-never-reached": [f"verdict.fall_after: {never_reached(121, 120)}"],
    "fall-is-zero": ["verdict.fall: input should be greater than or equal to 1"],
    "fall-never-reached": [f"verdict.fall: {never_reached(125, 120)}"],
    "fall-not-below-window": [
        f"verdict.fall_after: {never_reached(20, 0)}",
        f"verdict.fall: {never_reached(15, 0)}",
    ],
    "fast-interval-beyond-interval": [
        (
            "probe.fast_interval: cannot exceed probe.interval: a recheck would come later than "
            "the next slot"
        )
    ],
    "five-check-urls": ["probe.urls: must name one to four check URLs, all different"],
    "floor-above-one": ["gate.floor: input should be less than or equal to 1"],
    "floor-as-truth": ["gate.floor: must be a number, without quotes"],
    "floor-not-a-number": ["gate.floor: input should be less than or equal to 1"],
    "format-twice": ["publish[0].formats: must name each format once"],
    "format-unknown": ["publish[0].formats[0]: must be 'links', 'clash', 'sing-box' or 'xray'"],
    "formats-empty": ["publish[0].formats: must name at least one format"],
    "gate-mode-unknown": ["gate.mode: must be 'top-up', 'freeze', 'all' or 'strict'"],
    "include-as-text": [f"include: {NOT_A_LIST}"],
    "include-empty-name": ["include[0]: must be the path of a file"],
    "include-twice": ["include: must name each file once"],
    "include-with-nul": ["include[0]: must be the path of a file"],
    "include-with-number": ["include[0]: must be text in quotes"],
    "keep-nothing": ['store.keep: must be at least "100ms"'],
    "key-twice": ["not TOML: Cannot overwrite a value (at line 4, column 155)"],
    "limit-negative": ["publish[0].limit: input should be greater than or equal to 0"],
    "link-as-number": ["nodes[0].link: must be text in quotes"],
    "link-insecure": [
        (
            "nodes[0].link: malformed link, allowInsecure: cannot be honoured by current "
            "Xray; pin the certificate instead (pcs=SHA256)"
        )
    ],
    "link-malformed": ["nodes[0].link: malformed link, port: must be a number from 1 to 65535"],
    "link-misspelt": [
        "nodes[0].link: is required",
        "nodes[0].links: unknown key; did you mean 'link'?",
    ],
    "listen-by-name": [f"http.listen: {NOT_LISTENABLE}"],
    "listen-port-too-high": [f"http.listen: {NOT_LISTENABLE}"],
    "listen-without-port": [f"http.listen: {NOT_LISTENABLE}"],
    "log-format-unknown": ["log.format: must be 'auto', 'console', 'json' or 'journald'"],
    "log-level-unknown": ["log.level: must be 'debug', 'info', 'warning' or 'error'"],
    "max-removals-zero": ["gate.max_removals: input should be greater than 0"],
    "min-nodes-zero": ["gate.min_nodes: input should be greater than or equal to 1"],
    "no-check-url": ["probe.urls: must name at least one check URL"],
    "no-clients": ["probe.max_clients: input should be greater than or equal to 1"],
    "no-nodes": [NO_NODES],
    "no-publish": [NO_PUBLISH],
    "node-id-too-long": [f"nodes[0].id: {NOT_A_NAME}"],
    "node-id-twice": ["nodes[2].id: 'de-1' is already taken by nodes[0]"],
    "node-id-with-blank": [f"nodes[0].id: {NOT_A_NAME}"],
    "node-is-text": ["nodes[0]: must be a table, headed [[nodes]]"],
    "node-name-empty": ["nodes[0].name: string should have at least 1 character"],
    "node-name-with-nul": ["nodes[0].name: holds a NUL character"],
    "node-role-unknown": ["nodes[0].role: must be 'primary' or 'failover'"],
    "node-tag-as-number": ["nodes[0].tags[0]: must be text in quotes"],
    "node-tags-not-a-list": [f"nodes[0].tags: {NOT_A_LIST}"],
    "node-without-id": ["nodes[0].id: is required"],
    "node-without-link": ["nodes[0].link: is required"],
    "nodes-with-single-brackets": ["nodes: must be tables, each headed [[nodes]]"],
    "not-toml": ["not TOML: Invalid value (at line 2, column 12)"],
    "publish-name-twice": ["publish[1].name: 'users' is already taken by publish[0]"],
    "section-is-a-number": ["probe: must be a table, headed [probe]"],
    "several-faults": [
        f"probe.interval: {NOT_A_DURATION}",
        "probe.urls: must name at least one check URL",
        "verdict.fal: unknown key; did you mean 'fall'?",
        "nodes[0].link: malformed link, host: there is none; a link reads vless://USER@HOST:PORT?…",
        (
            "nodes[1].link: malformed link, type: 'kcp' is not supported, only tcp, ws, "
            "httpupgrade, grpc, xhttp"
        ),
        "nodes[1].role: must be 'primary' or 'failover'",
        "log.level: must be 'debug', 'info', 'warning' or 'error'",
        "nodes[1].id: 'de-1' is already taken by nodes[0]",
        NO_PUBLISH,
    ],
    "sing-box-without-name": ["engines.sing_box: string should have at least 1 character"],
    "slow-clear-zero": ["verdict.slow_clear: input should be greater than 0"],
    "slow-factor-as-text": ["verdict.slow_factor: must be a number, without quotes"],
    "source-file-relative": ["sources[0].file: must be an absolute path"],
    "source-header-for-a-file": ["sources[0].header: is sent to a url only; this source is a file"],
    "source-header-malformed": [f"sources[0].header: {NOT_A_HEADER}"],
    "source-header-of-our-own": [
        "sources[0].header: names a header that healthd sets itself; leave it out"
    ],
    "source-header-of-two-lines": [f"sources[0].header: {NOT_A_HEADER}"],
    "source-id-prefix-too-long": [f"sources[0].id_prefix: {NOT_A_PREFIX}"],
    "source-id-prefix-with-blank": [f"sources[0].id_prefix: {NOT_A_PREFIX}"],
    "source-max-bytes-too-few": [
        "sources[0].max_bytes: input should be greater than or equal to 1024"
    ],
    "source-max-nodes-zero": ["sources[0].max_nodes: input should be greater than or equal to 1"],
    "source-name-twice": ["sources[1].name: 'panel' is already taken by sources[0]"],
    "source-name-with-slash": [f"sources[0].name: {NOT_A_NAME}"],
    "source-refresh-too-short": ['sources[0].refresh: must be at least "100ms"'],
    "source-role-unknown": ["sources[0].role: must be 'primary' or 'failover'"],
    "source-tags-not-a-list": [f"sources[0].tags: {NOT_A_LIST}"],
    "source-timeout-as-number": [f"sources[0].timeout: {NOT_A_DURATION}"],
    "source-unknown-key": ["sources[0].refreshh: unknown key; did you mean 'refresh'?"],
    "source-url-of-other-scheme": [f"sources[0].url: {NOT_A_URL}"],
    "source-url-with-password": ["sources[0].url: must not carry a user name or password"],
    "source-user-agent-empty": ["sources[0].user_agent: string should have at least 1 character"],
    "source-user-agent-of-two-lines": [
        "sources[0].user_agent: must be one line of plain ASCII, without blanks around it"
    ],
    "source-with-two-origins": [
        "sources[0].file: cannot be given beside a url; make two sources of them"
    ],
    "source-without-name": ["sources[0].name: is required"],
    "source-without-origin": ["sources[0].url: is required, or a file instead"],
    "sources-with-single-brackets": ["sources: must be tables, each headed [[sources]]"],
    "state-relative": ["paths.state: must be an absolute path"],
    "state-with-nul": ["paths.state: holds a NUL character"],
    "status-as-text": ["probe.expect_status: must be a whole number, without quotes"],
    "status-as-truth": ["probe.expect_status: must be a whole number, without quotes"],
    "status-out-of-range": ["probe.expect_status: input should be greater than or equal to 200"],
    "title-too-long": ["publish[0].title: string should have at most 100 characters"],
    "title-with-newline": ["publish[0].title: must be one line of printable text"],
    "too-few-clients": [
        (
            "probe.max_clients: must be at least 4: with this deadline and shift, 3 clients "
            "overlap and one more is needed for rechecks"
        )
    ],
    "unknown-key": ["probe.intervall: unknown key; did you mean 'interval'?"],
    "unknown-key-far-off": [
        (
            "gate.zzz: unknown key; known here: floor, min_nodes, mode, panic_hold, max_removals, "
            "removal_period, mass_failure, mass_failure_within, debounce, spacing"
        )
    ],
    "unknown-section": ["prob: unknown key; did you mean 'probe'?"],
    "unknown-section-far-off": [
        (
            "wizardry: unknown key; known here: probe, self_check, verdict, gate, include, "
            "nodes, sources, users, publish, paths, engines, http, control, store, log"
        )
    ],
    "url-as-number": ["self_check.urls[0]: must be a URL in quotes"],
    "url-host-too-long": [
        "probe.urls[0]: has a host name longer than SOCKS5 can carry (255 bytes)"
    ],
    "url-of-lookalikes": [f"probe.urls[0]: {NOT_A_URL}"],
    "url-of-other-scheme": [f"probe.urls[0]: {NOT_A_URL}"],
    "url-port-is-text": [f"probe.urls[0]: {NOT_A_URL}"],
    "url-port-too-high": [f"probe.urls[0]: {NOT_A_URL}"],
    "url-with-blank": ["probe.urls[0]: must be plain ASCII without blanks"],
    "url-with-password": ["probe.urls[0]: must not carry a user name or password"],
    "url-with-umlaut": ["probe.urls[0]: must be plain ASCII without blanks"],
    "url-without-bracket": [f"probe.urls[0]: {NOT_A_URL}"],
    "urls-not-a-list": [f"probe.urls: {NOT_A_LIST}"],
    "users-file-relative": ["users.file: must be an absolute path"],
    "users-tier-not-a-list": [f"users.tiers.gold: {NOT_A_LIST}"],
    "users-tier-tag-as-number": ["users.tiers.gold[0]: must be text in quotes"],
    "users-tier-with-blank": [
        (
            "users.tiers: has a tier whose name is not 1 to 64 letters, digits, '.', '_' or "
            "'-', beginning with a letter or digit"
        )
    ],
    "users-tiers-as-text": [
        'users.tiers: must be a table, such as tiers = { gold = [], basic = ["basic"] }'
    ],
    "window-too-small": [
        "verdict.window_failures: cannot exceed verdict.window: it would never be met"
    ],
}


def problems_in(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(text, "c.toml")
    found = [str(problem) for problem in refused.value.problems]
    assert "\n".join(f"c.toml: {problem}" for problem in found) == str(refused.value)
    return found


def node(node_id: str) -> str:
    return NODE.replace("de-1", node_id)


def including(*names: str) -> str:
    return f"include = {json.dumps(names)}\n"


SOURCE_PREFIXES = [
    ("panel", ""),
    ("panel", 'id_prefix = ""'),
    ("panel", 'id_prefix = "x."'),
    ("p" * 64, ""),
]


def source(name: str, more: str = "") -> SourceConfig:
    text = f'[[sources]]\nname = "{name}"\nurl = "http://a.test/sub/1"\n{more}\n{PUBLISH}'
    (found,) = parse(text).sources
    return found


class TestFaults:
    def test_table_is_complete(self):
        """Every bad file has its messages, and every message its file."""
        assert sorted(EXPECTED) == sorted(path.stem for path in BAD_CONFIGS.glob("*.toml"))

    @pytest.mark.parametrize("fault", EXPECTED)
    def test_messages(self, fault):
        """Each fault is named once, at its key, with the mend."""
        text = (BAD_CONFIGS / f"{fault}.toml").read_text(encoding="utf-8")

        assert EXPECTED[fault] == problems_in(text)

    @pytest.mark.parametrize("fault", EXPECTED)
    def test_no_secret_in_any_message(self, fault):
        """Neither a link nor a part of it, nor a password in a URL, is ever shown."""
        shown = "\n".join(problems_in((BAD_CONFIGS / f"{fault}.toml").read_text(encoding="utf-8")))

        assert shown
        assert [s for s in (USER, PUBLIC_KEY, SHORT_ID, "hunter2") if s in shown] == []

    @pytest.mark.parametrize(
        "text",
        [f"x = {'9' * 5000}", f"x = {'[' * 5000}", "x = 2026-13-45", "\0", "x = '\ud800'"],
        ids=["long number", "deep nesting", "no date", "NUL", "surrogate"],
    )
    def test_hostile_text(self, text):
        """Whatever the text is, what comes out is a ConfigError."""
        assert problems_in(text)

    def test_file_is_named(self):
        """The error says which file it speaks of, and holds its problems as data."""
        with pytest.raises(ConfigError) as refused:
            parse(NODE, "/etc/healthd/config.toml")

        (problem,) = refused.value.problems
        assert (refused.value.path, problem.key) == ("/etc/healthd/config.toml", "publish")
        assert str(refused.value).startswith("/etc/healthd/config.toml: publish: nothing to")


class TestInclude:
    def test_nodes_come_behind_those_of_the_main_file(self):
        """The main file's nodes come first, then each included file's in the order of the list."""
        included = {"b.toml": node("b1") + node("b2"), "/srv/a.toml": node("a1")}

        found = parse(including("b.toml", "/srv/a.toml") + node("m1") + PUBLISH, "c", included)

        assert [entry.id for entry in found.nodes] == ["m1", "b1", "b2", "a1"]
        assert found.include == ("b.toml", "/srv/a.toml")

    def test_nodes_may_all_be_included(self):
        """A main file without nodes is sound when a file that it includes has some."""
        found = parse(including("n.toml") + PUBLISH, "c.toml", {"n.toml": node("n1")})

        assert [each.id for each in found.fleet()] == ["n1"]

    def test_an_included_file_without_nodes(self):
        """No node in any file is as bad as none in the only one; one in some file is enough."""
        with pytest.raises(ConfigError) as refused:
            parse(including("n.toml") + PUBLISH, "c.toml", {"n.toml": ""})

        assert [str(problem) for problem in refused.value.problems] == [NO_NODES]
        assert parse(including("n.toml") + NODE + PUBLISH, "c.toml", {"n.toml": ""}).nodes

    def test_every_fault_of_every_file_at_once(self):
        """Each fault names its own file and its place there; no link is shown."""
        included = {
            "a.toml": f'{node("de-1")}rol = "x"\n[probe]\ninterval = "1s"\n',
            "b.toml": "nodes = 3",
            "c.toml": "[[nodes]",
            "d.toml": node("a-1") + node("a-1"),
        }
        text = f"{including(*included, 'e.toml')}[probe]\nurls = []\n{NODE}"

        with pytest.raises(ConfigError) as refused:
            parse(text, "/etc/main.toml", included, {"e.toml": "cannot be read: No such file"})

        shown = str(refused.value)
        assert USER not in shown
        assert shown.splitlines() == [
            "/etc/main.toml: probe.urls: must name at least one check URL",
            (
                "/etc/c.toml: not TOML: Expected ']]' at the end of an array declaration "
                "(at line 1, column 8)"
            ),
            "/etc/main.toml: include[4]: /etc/e.toml cannot be read: No such file",
            "/etc/a.toml: nodes[0].rol: unknown key; did you mean 'role'?",
            (
                "/etc/a.toml: probe: only [[nodes]] tables may be in an included file; put it "
                "into the main file"
            ),
            "/etc/b.toml: nodes: must be tables, each headed [[nodes]]",
            "/etc/a.toml: nodes[0].id: 'de-1' is already taken by nodes[0] of the main file",
            "/etc/d.toml: nodes[1].id: 'a-1' is already taken by nodes[0]",
            f"/etc/main.toml: {NO_PUBLISH}",
        ]

    def test_the_same_id_in_two_included_files(self):
        """The file that had it first is named."""
        with pytest.raises(ConfigError) as refused:
            parse(
                including("a.toml", "b.toml") + PUBLISH,
                "/etc/c.toml",
                {"a.toml": node("x"), "b.toml": node("y") + node("x")},
            )

        assert str(refused.value) == (
            "/etc/b.toml: nodes[1].id: 'x' is already taken by nodes[0] of /etc/a.toml"
        )

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ('include = ["a.toml", "/b.toml"]', ("a.toml", "/b.toml")),
            ('include = "a.toml"', ()),
            ('include = [3, "", "a\\u0000b", "c"]', ("c",)),
            ("include = [", ()),
            ("", ()),
        ],
    )
    def test_names(self, text, names):
        """What can be read is named even where the list is malformed: all faults at once."""
        assert names == included_names(text)


class TestSources:
    def test_prefix_of_ids(self):
        """Its name and a dash unless told otherwise; short enough for the rest of the id."""
        assert [source(name, more).prefix for name, more in SOURCE_PREFIXES] == [
            *("panel-", "", "x.", "p" * 39 + "-")
        ]

    def test_a_prefix_may_be_shared(self):
        """Two sources may share a prefix: a node that moves from one to the other keeps its id."""
        text = "".join(
            f'[[sources]]\nname = "{name}"\nfile = "/{name}"\nid_prefix = "x-"\n' for name in "ab"
        )

        assert [each.prefix for each in parse(text + PUBLISH).sources] == ["x-", "x-"]

    @pytest.mark.parametrize("header", ["Authorization: Bearer a b", "X-Key:1", "x_y: =~!"])
    def test_headers(self, header):
        """A name and a visible value, as HTTP has them."""
        assert source("panel", f'header = "{header}"').header == header
        assert SourceConfig(name="a", url="http://a.test/", header=None).header is None

    def test_user_agent(self):
        """Panels give a form by it, so it may be any client's."""
        assert source("panel", 'user_agent = "clash-verge/v2 (x y)"').user_agent.endswith("(x y)")

    def test_tiers(self):
        """A tier's tags by its name; no tags mean all nodes."""
        found = parse(f'[users]\ntiers = {{ gold = [], basic = ["a", "b"] }}\n{NODE}{PUBLISH}')

        assert found.users.tiers == {"gold": (), "basic": ("a", "b")}

    def test_secrets_stay_out_of_sight(self):
        """A subscription's URL and its header are credentials: no repr shows them."""
        shown = repr(source("panel", 'header = "Authorization: hunter2"'))

        assert "panel" in shown
        assert "hunter2" not in shown
        assert "/sub/" not in shown


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0s", 0.0),
            ("100ms", 0.1),
            ("250ms", 0.25),
            ("0.5s", 0.5),
            ("30s", 30.0),
            ("5m", 300.0),
            ("1h30m", 5400.0),
            ("1m30s500ms", 90.5),
            ("2d", 172800.0),
            ("400d", 34560000.0),
        ],
    )
    def test_reads(self, text, seconds):
        """Numbers with units, one behind the other, add up to seconds."""
        assert seconds == parse_duration(text)

    @pytest.mark.parametrize(
        "value",
        [
            *("", "30", "s", "30S", "30 s", " 30s", "-1s", "+1s", "1e3s", "1.s", ".5s", "1w"),
            *("30s\n", 30, True, None, ["30s"]),
        ],
        ids=repr,
    )
    def test_refuses(self, value):
        """Anything else is refused with an example of what is meant."""
        with pytest.raises(ValueError, match=re.escape(NOT_A_DURATION)):
            parse_duration(value)

    @pytest.mark.parametrize("text", ["401d", "9600h1s", f"{'9' * 400}s"])
    def test_refuses_the_endless(self, text):
        """A duration beyond 400 days is a slip."""
        with pytest.raises(ValueError, match="longer than 400 days"):
            parse_duration(text)

    def test_shortest_period(self):
        """100 ms is the shortest period; a wait may be zero."""
        found = parse(
            '[probe]\nfast_interval = "100ms"\n[verdict]\nfall_after = "0s"\nmin_down = "0s"\n'
            f'[gate]\ndebounce = "0s"\nspacing = "0s"\n{NODE}{PUBLISH}'
        )

        assert (found.probe.fast_interval, found.verdict.fall_after) == (0.1, 0.0)
        assert 'verdict.rise_interval: must be at least "100ms"' in problems_in(
            f'[verdict]\nrise_interval = "0s"\n{NODE}{PUBLISH}'
        )


DEFAULTS = {
    "probe": {
        "interval": 30.0,
        "deadline": 10.0,
        "fast_interval": 5.0,
        "urls": (GSTATIC, CLOUDFLARE),
        "expect_status": 204,
        "ca_file": None,
        "shift": 5.0,
        "max_clients": 8,
        "bulk_url": None,
        "bulk_bytes": 65536,
        "bulk_every": 10,
    },
    "self_check": {"urls": ()},
    "verdict": {
        "fall": 4,
        "fall_after": 20.0,
        "window": 10,
        "window_failures": 5,
        "rise": 3,
        "rise_interval": 10.0,
        "min_down": 60.0,
        "probation": 600.0,
        "down_interval": 15.0,
        "down_fast_for": 300.0,
        "down_slow_after": 3600.0,
        "down_slow_interval": 60.0,
        "damping_half_life": 900.0,
        "damping_hold": 2500,
        "damping_release": 1000,
        "damping_cap": 4000,
        "slow_above": 1.5,
        "slow_factor": 3.0,
        "slow_slots": 5,
        "slow_clear": 0.8,
        "slow_clear_slots": 10,
    },
    "gate": {
        "floor": 0.5,
        "min_nodes": 2,
        "mode": "top-up",
        "panic_hold": 120.0,
        "max_removals": 0.25,
        "removal_period": 300.0,
        "mass_failure": 0.25,
        "mass_failure_within": 120.0,
        "debounce": 2.0,
        "spacing": 5.0,
    },
    "include": (),
    "nodes": ({"id": "de-1", "link": LINK, "name": None, "role": Role.FAILOVER, "tags": ()},),
    "sources": (),
    "users": {"file": None, "tiers": {}},
    "publish": (
        {
            "name": "users",
            "directory": Path("/srv/users"),
            "formats": ("links", "clash", "sing-box", "xray"),
            "select": (),
            "limit": 0,
            "title": "",
            "client_refresh": 3600.0,
        },
    ),
    "paths": {"state": Path("/var/lib/healthd")},
    "engines": {"xray": "xray", "sing_box": "sing-box", "hysteria2": "xray", "ca_file": None},
    "http": {"listen": "127.0.0.1:9477"},
    "control": {"socket": Path("/run/healthd/control.sock")},
    "store": {"keep": 400 * 86400.0, "results": 30 * 86400.0},
    "log": {"level": "info", "format": "auto"},
}


class TestValues:
    def test_defaults(self):
        """What is not said is as the contract has it."""
        assert parse(NODE + PUBLISH).model_dump() == DEFAULTS

    def test_frozen(self):
        """A configuration never changes under those who hold it."""
        with pytest.raises(ValidationError):
            parse(NODE + PUBLISH).probe.interval = 1.0  # type: ignore[misc]

    def test_repr_shows_no_link(self):
        """Whatever prints the configuration by accident prints no credential."""
        shown = repr(parse(NODE + PUBLISH))

        assert "de-1" in shown
        assert USER not in shown

    def test_fleet_is_in_failover_order(self):
        """Primaries come first; within a role the order of the file holds."""
        roles = {"a": "failover", "b": "primary", "c": "failover", "d": "primary"}
        text = "".join(
            f'[[nodes]]\nid = "{node_id}"\nlink = "{LINK}"\nrole = "{role}"\n'
            for node_id, role in roles.items()
        )

        assert [node.id for node in parse(text + PUBLISH).fleet()] == ["b", "d", "a", "c"]

    def test_node(self):
        """A node is its entry with the link read; the id names it unless a name is given."""
        text = f'{NODE}tags = ["asia", "fast"]\nrole = "primary"\n'
        (plain,) = parse(text + PUBLISH).fleet()
        (named,) = parse(f'{text}name = "Germany 1"\n{PUBLISH}').fleet()

        assert (plain.id, plain.name, plain.role) == ("de-1", "de-1", Role.PRIMARY)
        assert (vless(security=None), frozenset(["asia", "fast"])) == (plain.endpoint, plain.tags)
        assert (named.id, named.name) == ("de-1", "Germany 1")
        assert plain.fingerprint == named.fingerprint

    def test_self_check_asks_the_check_urls(self):
        """The monitor's own line is checked with the probe's URLs unless told otherwise."""
        own = '[self_check]\nurls = ["https://example.com/"]\n'

        assert parse(NODE + PUBLISH).self_check_urls == (GSTATIC, CLOUDFLARE)
        assert parse(own + NODE + PUBLISH).self_check_urls == ("https://example.com/",)

    @pytest.mark.parametrize(
        "verdict",
        [
            'fall = 25\nfall_after = "120s"',
            'fall = 100\nfall_after = "1h"\nwindow_failures = 0',
            'fall = 1\nfall_after = "0s"\nwindow_failures = 1',
            "damping_hold = 0\ndamping_release = 5000",
            "damping_hold = 4000\ndamping_release = 3999",
            'down_fast_for = "1h"',
            "slow_factor = 3",
        ],
    )
    def test_what_just_fits(self, verdict):
        """Only the impossible is refused: rules that meet at their limits, or are off, are not."""
        assert parse(f"[verdict]\n{verdict}\n{NODE}{PUBLISH}").fleet()

    @pytest.mark.parametrize(
        ("listen", "expected"),
        [
            ("127.0.0.1:9477", ("127.0.0.1", 9477)),
            ("[::1]:0", ("::1", 0)),
            ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ],
    )
    def test_listen(self, listen, expected):
        """An address and a port, IPv6 in brackets; port 0 lets the system choose."""
        found = parse(f'[http]\nlisten = "{listen}"\n{NODE}{PUBLISH}')

        assert expected == config.split_listen(found.http.listen)

    @pytest.mark.parametrize(
        ("interval", "deadline", "shift", "length", "clients"),
        [
            (30.0, 10.0, 5.0, 5.0, 3),
            (30.0, 11.0, 5.0, 5.0, 4),
            (30.0, 9.0, 10.0, 10.0, 2),
            (4.0, 3.0, 5.0, 4.0, 2),
            (1.0, 0.4, 0.1, 0.1, 5),
        ],
    )
    def test_overlapping_clients(self, interval, deadline, shift, length, clients):
        """While all nodes are silent, as many shift clients overlap as deadline and shift say."""
        probe = ProbeConfig.model_construct(interval=interval, deadline=deadline, shift=shift)

        assert (length, clients) == (probe.shift_length, probe.shift_clients)


def tables(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Each section's model by name, whether it is one table or a list of them."""
    found = {}
    for name, field in model.model_fields.items():
        if name == "include":  # a key, not a section
            continue
        kind = field.annotation
        kind = getattr(kind, "__args__", (kind,))[0]
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        found[name] = kind
    return found


class TestExample:
    def test_loads(self):
        """The example is a configuration that runs."""
        found = parse(EXAMPLE, "config.example.toml")

        assert found.fleet()
        assert found.publish

    @pytest.mark.parametrize(
        ("section", "key"),
        [(name, key) for name, model in tables(Config).items() for key in model.model_fields],
    )
    def test_holds_every_key(self, section, key):
        """Every key of every section is shown there, active or commented out."""
        blocks = re.split(r"^(?=\[)", EXAMPLE, flags=re.MULTILINE)
        mine = "".join(block for block in blocks if re.match(rf"\[\[?{section}\]", block))

        assert re.search(rf"^(# )?{key} = ", mine, re.MULTILINE)

    def test_shows_the_defaults(self):
        """A line that begins with "# key =" changes nothing when it is uncommented."""
        shown = re.sub(r"^# (?=[a-z_]+ = )", "", EXAMPLE, flags=re.MULTILINE)
        # The keys that have no default to show.
        shown = re.sub(
            r"^(ca_file|bulk_url|include|header|id_prefix|file|tiers) = .*$",
            "",
            shown,
            flags=re.MULTILINE,
        )

        assert shown.count(" = ") > 2 * EXAMPLE.count("\n[")
        assert parse(EXAMPLE) == parse(shown)


@pytest.mark.parametrize(
    "host",
    [
        *("999.1.1.1", "[v1.x]", "a..b", ".a.b", "xn--", "xn--a", "a\\\\b", "a%zz", "-a.b", "a-.b"),
        *("a" * 64 + ".b", "[fe80::1%25eth0]", "1.2.3"),
    ],
)
def test_host_that_a_library_would_choke_on(host):
    """A host that is no name and no address is found here, not by the first probe."""
    with pytest.raises(ConfigError) as refused:
        parse(f'[probe]\nurls = ["https://{host}/"]\n{NODE}{PUBLISH}')

    assert [problem.key for problem in refused.value.problems] == ["probe.urls[0]"]


@pytest.mark.parametrize(
    "host", ["localhost", "a.b.", "192.0.2.1", "[2001:db8::1]", "xn--e1afmkfd.example", "a_b.c"]
)
def test_host_that_is_sound(host):
    """Names, addresses, underscores and punycode pass."""
    config = parse(f'[probe]\nurls = ["https://{host}/"]\n{NODE}{PUBLISH}')

    assert config.probe.urls == (f"https://{host}/",)


@pytest.mark.parametrize("listen", ["127.0.0.1:9477", "[::1]:0"])
def test_listen_is_split_and_joined(listen):
    """Host and port of an address, and back; IPv6 keeps its brackets."""
    assert listen == join_listen(*split_listen(listen))
