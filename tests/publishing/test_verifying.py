"""Asking the engines: as they are installed here, and about what they can judge."""

import json

from healthd.engines.dialect import Engine, EngineName
from healthd.engines.program import programs
from healthd.publishing import singbox
from healthd.publishing.verifying import asker
from tests.publishing.fleets import ABOUT, VARIED

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
