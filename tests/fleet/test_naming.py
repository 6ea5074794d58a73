"""Names from strangers become one line that can be shown."""

from hypothesis import given
from hypothesis import strategies as st

from healthd.fleet.naming import clean_name


def test_clean():
    """Line breaks, control characters and turned writing go; letters and flags stay."""
    assert clean_name("  DE\n\x1b[31m 1\u202e\x00 \ud83c ") == "DE [31m 1"
    assert clean_name("🇩🇪 Köln 👨‍👩‍👧 العربية") == "🇩🇪 Köln 👨‍👩‍👧 العربية"


def test_no_other_link():
    """A share link in a name goes: its credentials would be shown with the name."""
    link = "vless://SECRET@h:1?x#y"
    for name in (f"DE {link}", f"DE,{link}", f"DE{link}", f"DE VLESS://SECRET {link}"):
        assert clean_name(name).rstrip(",") == "DE"
    assert clean_name("DE ss://SECRET@h:1") == "DE"
    assert clean_name("wss://a.example t.me/x https://a.example") == (
        "wss://a.example t.me/x https://a.example"
    )


def test_long():
    """A name has at most 200 characters."""
    assert clean_name("x" * 199 + " y") == "x" * 199
    assert clean_name("x" * 500) == "x" * 200


@given(st.text())
def test_any(name):
    """Whatever a source calls it, the name is one line that can be written down."""
    cleaned = clean_name(name)

    assert len(cleaned) <= 200
    assert len(cleaned.splitlines()) <= 1
    assert cleaned.encode().decode() == clean_name(cleaned)
