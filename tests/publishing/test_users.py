"""The users file: every fault at once, each at its key, and no secret in any word."""

import base64
import secrets
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.errors import ConfigError
from healthd.publishing.users import User, parse, tags_of

TOKEN = "f3b1c7d9e0a24586f3b1c7d9e0a24586"
UUID = "b831381d-6324-4d53-ad4f-8cda48b30811"
PASSWORD = "correct horse battery"

NOT_A_NAME = "must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
GUESSED = (
    "can be guessed: it must be random, at least 32 hexadecimal digits or 22 characters of "
    "URL-safe base64; make one with: openssl rand -hex 16"
)
NO_TIER = "is required, or tags: without both there are no nodes; tiers are gold, basic"
NO_TOKEN = "must be at most 128 letters, digits, '_' or '-'"
NO_PASSWORD = "must be 1 to 256 characters of printable text, on one line"


def table(**keys: str) -> str:
    """One [[users]] table; the values are TOML."""
    given = {"name": '"anna"', "token": f'"{TOKEN}"', "uuid": f'"{UUID}"'} | keys
    lines = [f"{key} = {value}" for key, value in given.items() if value]
    return "\n".join(["[[users]]", *lines, ""])


def faults(text: str, tiers: dict[str, tuple[str, ...]] | None = None) -> list[str]:
    """What is wrong with a users file."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "/etc/healthd/users.toml", tiers)
    assert caught.value.path == "/etc/healthd/users.toml"
    assert "/etc/healthd/users.toml: " in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def test_all_keys() -> None:
    """A user as the file has him; what is left out is none."""
    text = table(password=f'"{PASSWORD}"', tier='"gold"', tags='["asia"]') + table(
        name='"ben"', token='"0123456789abcdefghijklmnop"'
    )
    anna, ben = parse(text, "users.toml")

    assert anna == User(
        name="anna", token=TOKEN, uuid=UUID, password=PASSWORD, tier="gold", tags=("asia",)
    )
    assert (ben.uuid, ben.password, ben.tier, ben.tags) == (UUID, None, None, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["users: there are none; add a [[users]] table with a name and a token"]),
        ("users = []", ["users: there are none; add a [[users]] table with a name and a token"]),
        ("users = 7", ["users: must be tables, each headed [[users]]"]),
        ("[users]\nname = 'a'", ["users: must be tables, each headed [[users]]"]),
        ("users = [7]", ["users[0]: must be a table, headed [[users]]"]),
        (
            "[[users]",
            ["not TOML: Expected ']]' at the end of an array declaration (at line 1, col"],
        ),
        (
            f"[[user]]\n{table()}",
            ["user: unknown key; did you mean 'users'?"],
        ),
        (
            table(tokn=f'"{TOKEN}"'),
            ["users[0].tokn: unknown key; did you mean 'token'?"],
        ),
        (
            table(zzz='"x"'),
            [
                "users[0].zzz: unknown key; known here: name, token, uuid, password, tier, tags",
            ],
        ),
        (table(name=""), ["users[0].name: is required"]),
        (table(name='"an na"'), [f"users[0].name: {NOT_A_NAME}"]),
        (table(token=""), ["users[0].token: is required"]),
        (table(token="7"), ["users[0].token: must be text in quotes"]),
        (table(token='""'), [f"users[0].token: {NO_TOKEN}"]),
        (table(token=f'"{TOKEN[:-1]}/"'), [f"users[0].token: {NO_TOKEN}"]),
        (table(token=f'"{TOKEN}..."'), [f"users[0].token: {NO_TOKEN}"]),
        (table(token=f'"{TOKEN * 5}"'), [f"users[0].token: {NO_TOKEN}"]),
        (table(token=f'"{TOKEN[:31]}"'), [f"users[0].token: {GUESSED}"]),
        (table(uuid='"1234"'), ["users[0].uuid: must be a UUID; make one with: uuidgen"]),
        (table(uuid=""), ["users[0].uuid: is required, or a password, or both"]),
        (table(password='""'), [f"users[0].password: {NO_PASSWORD}"]),
        (table(password='"a\\nb"'), [f"users[0].password: {NO_PASSWORD}"]),
        (table(password=f'"{"x" * 257}"'), [f"users[0].password: {NO_PASSWORD}"]),
        (table(tags='"asia"'), ['users[0].tags: must be a list, such as ["a", "b"]']),
        (
            table() + table(),
            [
                "users[1].name: is that of users[0] already; each user needs a name of his own",
                "users[1].token: is that of users[0] already; each user needs a token of his own",
            ],
        ),
        (
            table(uuid='"1"', name='"-"') + table(token='"short"'),
            [
                f"users[0].name: {NOT_A_NAME}",
                "users[0].uuid: must be a UUID; make one with: uuidgen",
                f"users[1].token: {GUESSED}",
            ],
        ),
    ],
)
def test_faults(text: str, expected: list[str]) -> None:
    """Every fault is told at once, in words that name the place and the mend."""
    found = faults(text)

    assert len(found) == len(expected)
    assert all(words.startswith(begin) for words, begin in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"tier": '"gold"'}, []),
        ({"tier": '"basic"', "tags": '["asia"]'}, []),
        ({"tags": '["asia"]'}, []),
        (
            {"tier": '"silver"'},
            ["users[0].tier: 'silver' is no tier of [users.tiers]: gold, basic"],
        ),
        (
            {},
            [f"users[0].tier: {NO_TIER}"],
        ),
        ({"tier": "7"}, ["users[0].tier: must be text in quotes"]),
    ],
)
def test_tiers(keys: dict[str, str], expected: list[str]) -> None:
    """Where the configuration has tiers, a user has a known one, or tags."""
    tiers = {"gold": (), "basic": ("basic",)}
    if expected:
        assert faults(table(**keys), tiers) == expected
    else:
        assert len(parse(table(**keys), "users.toml", tiers)) == 1


def test_without_tiers_a_tier_is_a_word() -> None:
    """Nobody has said what tiers may: every user may use all nodes."""
    (user,) = parse(table(tier='"silver"'), "users.toml")

    assert tags_of(user, {}) is None


@pytest.mark.parametrize(
    ("tier", "tags", "expected"),
    [
        ("gold", (), None),
        ("gold", ("asia",), None),
        ("basic", (), {"cheap"}),
        ("basic", ("asia",), {"cheap", "asia"}),
        (None, ("asia",), {"asia"}),
        (None, (), set()),
        ("silver", (), set()),
    ],
)
def test_tags_of_a_user(tier: str | None, tags: tuple[str, ...], expected: set[str] | None) -> None:
    """The tier's tags and his own; an empty tier means all; what is unknown means nothing."""
    user = User(name="anna", token=TOKEN, uuid=UUID, tier=tier, tags=tags)

    found = tags_of(user, {"gold": (), "basic": ("cheap",)})
    assert (None if found is None else set(found)) == expected


def test_own_tags_limit_where_there_are_no_tiers() -> None:
    """Tags say which nodes, also without tiers."""
    user = User(name="anna", token=TOKEN, uuid=UUID, tags=("asia",))

    assert tags_of(user, {}) == frozenset({"asia"})


@pytest.mark.parametrize(
    "token",
    [
        "0123456789" * 3,  # digits tell little
        "0123456789abcdef0123456789abcde",
        "0123456789ABCDEF-0123456789abcde",  # a hyphen tells nothing
        "abcdefghijklmnopqrstuvwx",
        "ABCDEFGHIJKLMNOPQRSTUVWX",
        "aA0bB1cC2dD3eE4fF5gG6",
        "a" * 128,
        "ababababcdcdcdcdefefefefa1a1a1a1",
    ],
)
def test_token_that_can_be_guessed(token: str) -> None:
    """Less than 128 bits at best, or a pattern somebody typed."""
    assert faults(table(token=f'"{token}"')) == [f"users[0].token: {GUESSED}"]


@given(st.binary(min_size=16, max_size=32).filter(lambda raw: len(set(raw)) > 12))
def test_any_usual_token(raw: bytes) -> None:
    """Sixteen random bytes in hex, in URL-safe base64, or as a UUID are a token."""
    tokens = [
        raw.hex(),
        raw.hex().upper(),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        str(uuid.UUID(bytes=raw[:16])),
    ]
    for token in tokens:
        assert User(name="anna", token=token, uuid=UUID).token == token


def test_tokens_as_the_tools_make_them() -> None:
    """What `openssl rand -hex 16`, `uuidgen` and Python's secrets print is taken."""
    for _ in range(1000):
        for token in (secrets.token_hex(16), secrets.token_urlsafe(16), str(uuid.uuid4())):
            assert User(name="anna", token=token, uuid=UUID).token == token


SECRETS = {
    "token": "s3cretT0ken/with-a-slash-0123456789",
    "uuid": "b831381d-6324-4d53-ad4f-8cda48b3",
    "password": "s3cret\\npassw0rd",
}


@pytest.mark.parametrize("key", SECRETS)
def test_no_secret_in_a_message(key: str) -> None:
    """A wrong value is never quoted: it is nearly right, often enough."""
    words = " ".join(faults(table(**{key: f'"{SECRETS[key]}"'})))

    assert SECRETS[key][:6] not in words


def test_no_secret_in_a_message_of_duplicates() -> None:
    """Nor are two equal ones."""
    words = " ".join(faults(table() + table(name='"ben"')))

    assert "users[1].token" in words
    assert TOKEN not in words


def test_no_secret_in_a_repr() -> None:
    """A user can be logged by mistake."""
    user = User(name="anna", token=TOKEN, uuid=UUID, password=PASSWORD)

    assert "anna" in repr(user)
    assert not any(secret in f"{user!r} {user}" for secret in (TOKEN, UUID, PASSWORD))
