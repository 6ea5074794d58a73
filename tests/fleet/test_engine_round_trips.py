"""What healthd writes for engines and clients, its readers of subscriptions understand again."""

import json

from hypothesis import given, settings

from healthd.endpoints import fingerprint
from healthd.engines import singbox_outbound, xray_outbound
from healthd.fleet import singbox, subscriptions, xray_json
from healthd.fleet.naming import clean_name
from healthd.model import Node
from healthd.publishing import clash, clash_limits
from healthd.publishing.about import About
from tests.fleet.engine_views import as_xray_keeps_it, without_choices
from tests.strategies import any_endpoint, texts

names = texts(min_size=1)


def can(objection, endpoints=any_endpoint):
    """Endpoints that can be expressed."""
    return endpoints.filter(lambda endpoint: objection(endpoint) is None)


@settings(deadline=None)
@given(can(xray_outbound.why_not), names)
def test_xray(endpoint, name):
    """An outbound of Xray is read as the endpoint it was made of."""
    document = json.loads(json.dumps(xray_outbound.outbound(endpoint, name)))

    found, its_name = xray_json.read(document)
    assert (as_xray_keeps_it(endpoint), name) == (as_xray_keeps_it(found), its_name)


@settings(deadline=None)
@given(can(singbox_outbound.why_not), names)
def test_sing_box(endpoint, name):
    """An outbound of sing-box is read as the endpoint it was made of, but for defaults."""
    document = json.loads(json.dumps(singbox_outbound.outbound(endpoint, name)))

    found, its_name = singbox.read(document)
    assert (without_choices(endpoint), name) == (without_choices(found), its_name)


@settings(deadline=None)
@given(can(clash_limits.why_not), names)
def test_clash(endpoint, name):
    """So is an entry of the Clash configuration that healthd publishes, through YAML."""
    node = Node(id="n", name=name, endpoint=endpoint, fingerprint=fingerprint(endpoint))
    document = clash.render([node], About(check_url="https://check.test/"))

    reading = subscriptions.read(document, max_nodes=1)
    assert [(without_choices(endpoint), clean_name(name), "proxies[0]")] == [
        (without_choices(entry.endpoint), entry.name, entry.where) for entry in reading.entries
    ]
