"""Those who will read the documents are asked: Xray, sing-box, and the schema of mihomo's files."""

import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from healthd.endpoints import Shadowsocks
from healthd.engines.find import find_sing_box
from healthd.errors import EngineMissing
from healthd.publishing import clash, singbox
from healthd.publishing.formats import FORMATS, Format
from tests.builders import node
from tests.engines.sane import endpoints as sane_endpoints
from tests.engines.sane import run
from tests.publishing.fleets import ABOUT, VARIED
from tests.strategies import texts

PLACES = (
    Path(os.environ.get("META_JSON_SCHEMA", "/nonexistent")),
    Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "healthd" / "npm",
)
"""Where `npm install --prefix … meta-json-schema` may have put it; .ci/run has the second."""

FLEETS = st.lists(st.tuples(sane_endpoints, texts(min_size=1)), min_size=40, max_size=40)
# One document of many nodes each time: shrinking it would ask an engine a thousand times.
FEW = settings(
    max_examples=5,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def fit(form: Format, found):
    fleet = [node(f"n{at}", name=name, endpoint=each) for at, (each, name) in enumerate(found)]
    return [each for each in fleet if form.why_not(each.endpoint) is None]


@pytest.fixture(scope="module")
def sing_box():
    """A real sing-box, whether or not it can do uTLS."""
    try:
        return find_sing_box()
    except EngineMissing as why:
        pytest.skip(f"needs sing-box: {why}")


@pytest.fixture(scope="module")
def schema():
    """The schema that editors check mihomo's files by."""
    for place in PLACES:
        path = place / "node_modules/meta-json-schema/schemas/meta-json-schema.json"
        if path.exists():
            found = json.loads(path.read_bytes())
            # It names the draft without the "#" that validators know it by.
            return found | {"$schema": "http://json-schema.org/draft-07/schema#"}
    pytest.skip("needs meta-json-schema: npm install --ignore-scripts --prefix DIR, see .ci/run")


class TestXray:
    def test_varied(self, xray):
        """Every usual kind, as our servers have it."""
        form = FORMATS["xray"]
        fleet = [each for each in VARIED if form.why_not(each.endpoint) is None]

        for sample in form.samples(form.render(fleet, ABOUT)):
            assert run([xray, "run", "-test", "-c", "stdin:"], sample) is None

    @FEW
    @given(found=FLEETS)
    def test_any_sane_fleet(self, xray, found):
        """Whatever sane values the nodes have, and whatever names."""
        form = FORMATS["xray"]

        for sample in form.samples(form.render(fit(form, found), ABOUT)):
            assert run([xray, "run", "-test", "-c", "stdin:"], sample) is None

    def test_each_single_one(self, xray):
        """What the samples prove is so for every configuration of the array."""
        form = FORMATS["xray"]
        fleet = [each for each in VARIED if form.why_not(each.endpoint) is None][:4]

        for config in json.loads(form.render(fleet, ABOUT)):
            assert run([xray, "run", "-test", "-c", "stdin:"], json.dumps(config).encode()) is None


class TestSingBox:
    @staticmethod
    def refusal(sing_box, document):
        judged = document if sing_box.has_utls else singbox.without_utls(document)
        return run([sing_box.path, "check", "-c", "stdin"], judged)

    def test_varied(self, sing_box):
        """Every usual kind that it has, the tun and the DNS among them: whole and as it is."""
        fleet = [each for each in VARIED if singbox.why_not(each.endpoint) is None]

        assert self.refusal(sing_box, singbox.render(fleet, ABOUT)) is None

    @FEW
    @given(found=FLEETS)
    def test_any_sane_fleet(self, sing_box, found):
        """Whatever sane values the nodes have, and whatever names."""
        document = singbox.render(fit(FORMATS["sing-box"], found), ABOUT)

        assert self.refusal(sing_box, document) is None

    def test_it_is_really_asked(self, sing_box):
        """An outbound that it does not know is refused."""
        document = singbox.render(VARIED[:1], ABOUT).replace(b'"vless"', b'"nothing"')

        assert "nothing" in (self.refusal(sing_box, document) or "")


class TestSchema:
    def test_varied(self, schema):
        """The whole document satisfies it, with every usual kind of node in it."""
        document = yaml.safe_load(clash.render(VARIED, ABOUT))

        jsonschema.validate(document, schema)
        assert len(document["proxies"]) == len(VARIED)

    @FEW
    @given(found=FLEETS)
    def test_any_sane_fleet(self, schema, found):
        """So does any sane fleet, but for users that are no UUID and hosts with odd hyphens.

        The schema is stricter there than mihomo, which takes both.
        """
        fleet = [
            each
            for each in fit(FORMATS["clash"], found)
            if isinstance(each.endpoint, Shadowsocks)
            or len(getattr(each.endpoint, "user", " " * 36)) == 36
        ]
        document = yaml.safe_load(clash.render(fleet, ABOUT))
        for each in document["proxies"]:
            each["server"] = "node.example.com"
            each.get("xhttp-opts", {}).pop("host", None)

        jsonschema.validate(document, schema)

    def test_it_is_really_asked(self, schema):
        """A kind of proxy that it does not know is refused."""
        document = yaml.safe_load(clash.render(VARIED[:1], ABOUT))
        document["proxies"][0]["flow"] = "nothing"

        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, schema)
