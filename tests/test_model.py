"""Secrets stay out of every text, and a result reads well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.model import Reason, failure, inconclusive, redact, success
from tests.builders import PUBLIC_KEY, SHORT_ID, USER, node, reality, vless
from tests.strategies import any_endpoint


def test_secrets_of_an_endpoint():
    """The user id, the keys and an encryption of its own are secrets; "none" is a word."""
    endpoint = vless(encryption="mlkem-key", security=reality(mldsa65_verify="mldsa"))

    assert {USER, "mlkem-key", PUBLIC_KEY, SHORT_ID, "mldsa"} == set(endpoint.secrets())
    assert list(vless(security=None).secrets()) == [USER]


def test_repr_shows_no_secret():
    """Whatever prints a node by accident prints no credential."""
    shown = repr(node(endpoint=vless(encryption="mlkem-key", extra=(("token", "hunter2"),))))

    assert "192.0.2.10" in shown
    assert [s for s in (USER, PUBLIC_KEY, SHORT_ID, "mlkem-key", "hunter2") if s in shown] == []


@pytest.mark.parametrize(
    ("text", "secrets", "expected"),
    [
        ("user abc-1 is bad", ["abc-1"], "user ••• is bad"),
        ("abc-1 and abc-1", ["abc-1"], "••• and •••"),
        ("a  b\n\tc ", [], "a b c"),
        ("a bad day", ["", "a"], "a bad day"),
        ("key=abcdef", ["cd", "abcdef"], "key=•••"),
        ("x" * 201, [], "x" * 199 + "…"),
        ("x" * 200, [], "x" * 200),
    ],
    ids=["one", "each", "one line", "too short to be one", "one in another", "cut", "fits"],
)
def test_redact(text, secrets, expected):
    """Secrets go out whole, blanks become one, and what is too long is cut."""
    assert expected == redact(text, secrets)


@given(any_endpoint.map(lambda endpoint: list(endpoint.secrets())), st.text(max_size=300))
def test_redacted_text_holds_no_secret(secrets, text):
    """Foreign text around secrets comes back without them, in one short line."""
    real = [secret for secret in secrets if len(secret) > 8]

    shown = redact(text + " ".join(secrets), secrets)

    assert [secret for secret in real if secret in shown] == []
    assert len(shown) <= 200
    assert len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (success(0.0314), "success 31 ms"),
        (failure(Reason.REFUSED, "words"), "failure (refused)"),
        (inconclusive(Reason.SPAWN), "inconclusive (spawn)"),
    ],
)
def test_result_reads_well(result, expected):
    """A result in words: what, why, how long."""
    assert expected == str(result)
