"""Asking the engines: as they are installed here, and about what they can judge."""

import json

from healthd.config import FormatName
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.program import programs
from healthd.publishing import singbox
from healthd.publishing.files import Sample
from healthd.publishing.formats import render_all
from healthd.publishing.verifying import asker, judge
from tests.publishing.fleets import ABOUT, VARIED

NAMES: tuple[FormatName, ...] = ("links", "clash", "sing-box", "xray")
VISION = [each for each in VARIED if each.id == "vision"]


async def test_engine_that_is_not_here_has_no_objection():
    """Without sing-box its document is published all the same, read back only."""
    assert await asker({}, None)(EngineName.SING_BOX, b"nonsense") is None


async def test_sing_box_without_utls_judges_the_rest(sing_box):
    """REALITY is no reason to refuse for a build that cannot do it; anything else still is."""
    document = singbox.render(VISION, ABOUT)
    engine = Engine(sing_box, "1.14.4")
    ask = asker(programs({EngineName.SING_BOX: engine}, owner="test"), engine)

    assert await ask(EngineName.SING_BOX, document) is None
    unknown = json.loads(document) | {"nonsense": {}}
    assert "nonsense" in str(await ask(EngineName.SING_BOX, json.dumps(unknown).encode()))


async def test_a_whole_build_is_asked_about_the_whole_document(sing_box):
    """Nothing is taken out for a build with uTLS: here one that only says so, and is found out."""
    engine = Engine(sing_box, "1.14.4", frozenset({"with_utls"}))
    ask = asker(programs({EngineName.SING_BOX: engine}, owner="test"), engine)

    assert "utls" in str(await ask(EngineName.SING_BOX, singbox.render(VISION, ABOUT))).lower()


async def test_document_that_does_not_read_back_is_its_format_fault():
    """No engine is asked about it, and the other formats are judged all the same."""
    asked: list[EngineName] = []

    async def ask(engine: EngineName, _: bytes) -> str | None:
        asked.append(engine)
        return None

    made = render_all(VISION, NAMES, ABOUT, floor=1)
    made.documents["sing-box.json"] = made.documents["sing-box.json"].replace(b"443", b"444")

    judged = await judge([Sample(tuple(VISION), made)], NAMES, ABOUT, ask)

    words = "sing-box.json does not read back as the nodes it was written from"
    assert (judged.refused, judged.faults, judged.unasked) == ({}, {"sing-box.json": words}, False)
    assert asked == [EngineName.XRAY, EngineName.XRAY]


async def test_engine_that_is_gone_is_no_fault_of_the_other(xray):
    """A real Xray judges its document while sing-box's program is not where it was."""
    engines = {
        EngineName.XRAY: Engine(xray, "26.3.27"),
        EngineName.SING_BOX: Engine("/nonexistent/sing-box", "1.14.4"),
    }
    ask = asker(programs(engines, owner="test"), engines[EngineName.SING_BOX])
    made = render_all(VISION, NAMES, ABOUT, floor=1)

    judged = await judge([Sample(tuple(VISION), made)], NAMES, ABOUT, ask)

    assert (set(judged.faults), judged.refused, judged.unasked) == ({"sing-box.json"}, {}, True)
    assert "No such file" in judged.faults["sing-box.json"]
