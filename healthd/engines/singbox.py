"""sing-box: endpoints become a client configuration, its words become reasons. Pure.

Its manners differ from Xray's: it refuses unknown keys, exits with 1 whatever is wrong, names an
outbound it refuses by its number, cannot share a port that is held for it (it sets no SO_REUSEPORT,
so it chooses one and says which), and loses what is sent together with the SOCKS handshake.
"""

import json
import re
from collections.abc import Mapping, Sequence

from healthd.endpoints import Endpoint
from healthd.engines.dialect import CONTROL, Dialect, EngineName
from healthd.engines.reasons import classify
from healthd.engines.singbox_outbound import outbound, why_not
from healthd.model import Reason


def client_config(nodes: Mapping[str, Endpoint], *, port: int, password: str) -> bytes:
    """One client for many nodes: one SOCKS port, one account and one outbound per tag.

    The last rule rejects: what no other matches would leave through the first node.
    """
    tags = (*nodes, CONTROL)
    config = {
        "log": {"level": "info"},
        "inbounds": [
            {
                "type": "socks",
                "tag": "in",
                "listen": "127.0.0.1",
                "listen_port": port,
                "users": [{"username": tag, "password": password} for tag in tags],
            }
        ],
        "outbounds": [
            *(outbound(endpoint, tag) for tag, endpoint in nodes.items()),
            {"type": "direct", "tag": CONTROL},
        ],
        "route": {
            "rules": [
                *({"auth_user": [tag], "action": "route", "outbound": tag} for tag in tags),
                {"action": "reject"},
            ]
        },
    }
    return json.dumps(config, separators=(",", ":")).encode()


_FATAL = re.compile(r"FATAL\[\d+\] (.*)")
_STARTING = "start service: "
"""It has taken the configuration, and failed later: a busy port, for example."""
_REJECTED = re.compile(r"(?:initialize outbound|outbounds)\[(\d+)\][^:]*: (.*)")


def last_words(output: str) -> str:
    """The line in which sing-box says why it ended."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    fatal = [found[1] for line in lines if (found := _FATAL.search(line))]
    return (fatal or lines or ["no output"])[-1].removeprefix("create service: ")


def refuses(code: int, output: str) -> bool:
    """Whether it ended because of its configuration."""
    found = _FATAL.search(output)
    return code == 1 and found is not None and not found[1].startswith(_STARTING)


def rejected_tag(output: str, tags: Sequence[str]) -> tuple[str, str] | None:
    """The tag of the outbound that sing-box refuses by number, and its reason in its own words."""
    found = _REJECTED.search(last_words(output))
    if found is None or int(found[1]) >= len(tags):
        return None
    return tags[int(found[1])], found[2].strip()


_EVENT = re.compile(
    rb"connection: open connection to [^\n]*? using outbound/[^\[\n]+\[(?P<tag>[^\]\n]+)\]: "
    rb"(?P<words>[^\n]*)"
    rb"|inbound/socks\[in\]: tcp server started at 127\.0\.0\.1:(?P<port>\d+)"
    rb"|(?P<started>sing-box started)"
)


class LogReader:
    """Reads a client's log: where it listens, which node failed, and why.

    A failed connection is one line that names its outbound. Not every failure has one: a TUIC
    server that does not know the password lets the connection begin, and then ends it.
    """

    def __init__(self) -> None:
        self.port = 0
        """Where it listens; 0 until it has started."""
        self.failures: dict[str, tuple[Reason, str]] = {}
        """The latest failure of each tag: its reason, and sing-box's words."""
        self._rest = b""
        self._told = 0

    def feed(self, chunk: bytes) -> bool:
        """Read some output; return whether a new failure, or the start, was in it."""
        complete, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if not newline:
            return False
        news = False
        for event in _EVENT.finditer(complete):
            if event["port"] is not None:
                self._told = int(event["port"])
                continue
            news = True
            if event["tag"] is None:
                self.port = self._told
            else:
                words = event["words"].decode(errors="replace").strip()
                self.failures[event["tag"].decode(errors="replace")] = (classify(words), words)
        return news


def _conflict(_: Endpoint) -> str | None:
    """Each of its outbounds has connections of its own."""
    return None


DIALECT = Dialect(
    name=EngineName.SING_BOX,
    title="sing-box",
    client_config=client_config,
    why_not=why_not,
    conflict=_conflict,
    run=("run", "-c", "stdin", "--disable-color"),
    check=("check", "-c", "stdin", "--disable-color"),
    refuses=refuses,
    rejected_tag=rejected_tag,
    last_words=last_words,
    log_reader=LogReader,
    one_write=False,
    chooses_port=True,
)
"""sing-box, as healthd drives it."""
