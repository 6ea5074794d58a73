"""Which engine carries which node. Pure.

Xray carries all it can: it is what nearly all servers run, and REALITY is bound to its versions.
Only sing-box knows TUIC; Hysteria2 both know, and the operator may choose.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from healthd.endpoints import Endpoint, Hysteria2, Tuic
from healthd.engines import singbox, xray
from healthd.engines.dialect import Dialect, EngineName
from healthd.errors import EngineRejected
from healthd.model import Node

DIALECTS: Mapping[EngineName, Dialect] = {
    EngineName.XRAY: xray.DIALECT,
    EngineName.SING_BOX: singbox.DIALECT,
}

Preference = Literal["xray", "sing-box"]
"""Which engine the operator wants for Hysteria2."""

_HINT = "run 'healthd engines install', or set engines.sing_box to its path"


def carrier(
    endpoint: Endpoint, preference: Preference, installed: Collection[EngineName]
) -> EngineName:
    """The engine that carries this endpoint.

    Raises:
        EngineRejected: no engine that is here can; says why, and what would help.
    """
    objections = []
    for name in _candidates(endpoint, preference):
        if (why := DIALECTS[name].why_not(endpoint)) is not None:
            objections.append(why)
        elif name in installed:
            return name
        else:
            because = f" ({objections[0]})" if objections else ""
            objections.append(f"no {name} here, which this node needs{because}; {_HINT}")
    raise EngineRejected(objections[-1])


def _candidates(endpoint: Endpoint, preference: Preference) -> tuple[EngineName, ...]:
    match endpoint:
        case Tuic():
            return (EngineName.SING_BOX,)
        case Hysteria2() if preference == "sing-box":
            return (EngineName.SING_BOX, EngineName.XRAY)
        case Hysteria2():
            return (EngineName.XRAY, EngineName.SING_BOX)
        case _:
            return (EngineName.XRAY,)


def apart(nodes: Iterable[Node], dialect: Dialect) -> Sequence[list[Node]]:
    """The nodes in as few groups as can be, so that none holds two that are in conflict.

    The first node is in the first group, which is the largest.
    """
    groups: list[list[Node]] = [[]]
    seen: dict[str, int] = {}
    for node in nodes:
        number = 0
        if (key := dialect.conflict(node.endpoint)) is not None:
            number = seen.get(key, 0)
            seen[key] = number + 1
        if number == len(groups):
            groups.append([])
        groups[number].append(node)
    return groups
