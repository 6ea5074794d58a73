"""Who has files of his own: the text of the users file -> users, or every fault at once. Pure.

A user's token is the name of his folder, so it is all that keeps his files from others: it must be
long and random. Tokens, UUIDs and passwords are in no message and no ``repr``.
"""

import math
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from healthd.config.including import load
from healthd.config.section import NAME, Section, faults_between
from healthd.config.words import problems_of
from healthd.errors import ConfigError, Problem

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What needs no escape in a URL; the separator of nothing, and never the name of a file."""
_TOKEN_BITS = 128
"""As many as a random number must have so that nobody guesses it (RFC 9562 and 6749 agree)."""
_TOKEN_KINDS = 8
"""Different characters. Of 32 random hexadecimal digits only one token in 27 million has fewer;
what somebody has typed often has."""
_ALPHABETS = (
    (string.digits, 10),
    (string.hexdigits, 16),
    (string.ascii_lowercase + string.digits, 36),
    (string.ascii_uppercase + string.digits, 36),
)
"""Alphabets that tell little by each character, and how many characters they really have."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class User(Section):
    """[[users]]: one user."""

    name: str = Field(pattern=NAME)
    token: str = Field(repr=False)
    uuid: str | None = Field(None, repr=False)
    password: str | None = Field(None, repr=False)
    tier: str | None = Field(None, pattern=NAME)
    tags: tuple[str, ...] = ()
    """Tags of further nodes, besides those of the tier."""

    @field_validator("token")
    @classmethod
    def _token_cannot_be_guessed(cls, token: str) -> str:
        if not _TOKEN.fullmatch(token):
            raise ValueError("must be at most 128 letters, digits, '_' or '-'")
        if _bits(token) < _TOKEN_BITS or len(set(token)) < _TOKEN_KINDS:
            raise ValueError(
                "can be guessed: it must be random, at least 32 hexadecimal digits or 22 "
                "characters of URL-safe base64; make one with: openssl rand -hex 16"
            )
        return token

    @field_validator("uuid")
    @classmethod
    def _uuid_is_one(cls, uuid: str | None) -> str | None:
        if uuid is not None and not _UUID.fullmatch(uuid):
            raise ValueError("must be a UUID; make one with: uuidgen")
        return uuid

    @field_validator("password")
    @classmethod
    def _password_is_one_line(cls, password: str | None) -> str | None:
        if password is not None and not (0 < len(password) <= 256 and password.isprintable()):
            raise ValueError("must be 1 to 256 characters of printable text, on one line")
        return password

    @model_validator(mode="after")
    def _has_a_credential(self) -> Self:
        if self.uuid is None and self.password is None:
            raise faults_between(("uuid", "is required, or a password, or both"))
        return self


class _UsersFile(Section):
    users: tuple[User, ...] = ()


def parse(
    text: str, path: str, tiers: Mapping[str, Sequence[str]] | None = None
) -> tuple[User, ...]:
    """Return the users that the text of a users file describes.

    Args:
        text: The file's text.
        path: Where it is, for messages.
        tiers: Those of the configuration; without any, a user's tier is a mere word.

    Raises:
        ConfigError: with every problem found, each at its key.
    """
    try:
        data = load(text)
    except ValueError as why:
        raise ConfigError(path, [Problem("", str(why))]) from None
    problems: list[Problem] = []
    found: tuple[User, ...] = ()
    try:
        found = _UsersFile.model_validate(data).users
    except ValidationError as invalid:
        models: dict[str, type[Section]] = {"": _UsersFile, "users": User}
        for error in invalid.errors():
            problems += problems_of(error, models=models)
    entries = data.get("users", [])
    tables = [each if isinstance(each, dict) else {} for each in _listed(entries)]
    problems += _empty(entries)
    problems += _duplicates(tables)
    problems += _strangers_to(tiers or {}, tables)
    if problems:
        raise ConfigError(path, problems)
    return found


def tags_of(user: User, tiers: Mapping[str, Sequence[str]]) -> frozenset[str] | None:
    """The tags of the nodes that a user may use; None: he may use all."""
    if user.tier is not None and user.tier in tiers:
        of_tier = tiers[user.tier]
        return frozenset((*of_tier, *user.tags)) if of_tier else None
    if user.tags or tiers:
        return frozenset(user.tags)
    return None


def _bits(token: str) -> float:
    """How much a token tells at most, if it is random."""
    characters = token.replace("-", "").replace("_", "")  # hyphens of a UUID tell nothing
    for alphabet, size in _ALPHABETS:
        if set(characters) <= set(alphabet):
            return len(characters) * math.log2(size)
    return len(token) * math.log2(64)


def _listed(entries: object) -> list[Any]:
    return entries if isinstance(entries, list) else []


def _empty(entries: object) -> Iterator[Problem]:
    # Every user would lose his files: a file that was cut off must not do that.
    if entries == []:
        yield Problem("users", "there are none; add a [[users]] table with a name and a token")


def _duplicates(tables: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    words = {
        "name": "is that of users[{}] already; each user needs a name of his own",
        "token": "is that of users[{}] already; each user needs a token of his own",
    }
    first: dict[tuple[str, str], int] = {}
    for index, table in enumerate(tables):
        for key, why in words.items():
            value = table.get(key)
            if isinstance(value, str) and first.setdefault((key, value), index) != index:
                yield Problem(f"users[{index}].{key}", why.format(first[key, value]))


def _strangers_to(
    tiers: Mapping[str, Sequence[str]], tables: Iterable[Mapping[str, Any]]
) -> Iterator[Problem]:
    """Users of tiers that there are not. Without tiers in the configuration every user may all."""
    if not tiers:
        return
    known = ", ".join(tiers)
    for index, table in enumerate(tables):
        tier = table.get("tier")
        if isinstance(tier, str) and tier not in tiers:
            yield Problem(f"users[{index}].tier", f"{tier!r} is no tier of [users.tiers]: {known}")
        if tier is None and not table.get("tags"):
            why = f"is required, or tags: without both there are no nodes; tiers are {known}"
            yield Problem(f"users[{index}].tier", why)
