"""[[nodes]], [[sources]] and [users]: whom to watch, and for whom. Pure."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from healthd import endpoints
from healthd.config.section import NAME, Section, faults_between
from healthd.config.values import AbsolutePath, Period, Url
from healthd.errors import LinkError
from healthd.fleet import links
from healthd.model import Node, Role

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?[!-~](?:[\t -~]*[!-~])?")
"""A field of RFC 9110: a token, and visible ASCII with blanks only inside."""
_NOT_OURS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
"""Headers that belong to the request itself: another value would break it."""
_ID_PREFIX = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,39})?")
"""Leaves room for the rest of an id, see :mod:`healthd.fleet.joining`."""


class NodeConfig(Section):
    """[[nodes]]: one node, as the operator names it."""

    id: str = Field(pattern=NAME)
    link: str = Field(repr=False, max_length=links.MAX_LENGTH)
    name: str | None = Field(None, min_length=1, max_length=200)
    role: Role = Role.FAILOVER
    tags: tuple[str, ...] = ()

    @field_validator("link")
    @classmethod
    def _link_is_sound(cls, link: str) -> str:
        try:
            links.parse(link)
        except LinkError as why:
            raise PydanticCustomError("link", "{why}", {"why": f"malformed link, {why}"}) from None
        return link

    @field_validator("name")
    @classmethod
    def _name_is_text(cls, name: str | None) -> str | None:
        if name is not None and "\0" in name:
            raise ValueError("holds a NUL character")
        return name

    def node(self) -> Node:
        """The node this entry describes."""
        endpoint = links.parse(self.link)[0]
        return Node(
            id=self.id,
            name=self.name or self.id,
            endpoint=endpoint,
            fingerprint=endpoints.fingerprint(endpoint),
            role=self.role,
            tags=frozenset(self.tags),
        )


class SourceConfig(Section):
    """[[sources]]: a subscription whose nodes join the fleet."""

    name: str = Field(pattern=NAME)
    url: Url | None = Field(None, repr=False)
    file: AbsolutePath | None = None
    refresh: Period = 300.0
    timeout: Period = 20.0
    max_bytes: int = Field(8 * 2**20, strict=True, ge=1024, le=64 * 2**20)
    max_nodes: int = Field(1000, strict=True, ge=1, le=100_000)
    user_agent: str = Field("healthd", min_length=1, max_length=200)
    header: str | None = Field(None, repr=False, max_length=4096)
    """One more header, such as "Authorization: Bearer …"."""
    role: Role = Role.FAILOVER
    tags: tuple[str, ...] = ()
    id_prefix: str | None = None

    @field_validator("user_agent")
    @classmethod
    def _user_agent_can_be_sent(cls, agent: str) -> str:
        if not (agent.isascii() and agent.isprintable() and agent == agent.strip()):
            raise ValueError("must be one line of plain ASCII, without blanks around it")
        return agent

    @field_validator("header")
    @classmethod
    def _header_can_be_sent(cls, header: str | None) -> str | None:
        if header is None:
            return None
        if (field := _HEADER.fullmatch(header)) is None:
            raise ValueError('must be one header, such as "Authorization: Bearer TOKEN"')
        if field[1].lower() in _NOT_OURS:
            raise ValueError("names a header that healthd sets itself; leave it out")
        return header

    @field_validator("id_prefix")
    @classmethod
    def _id_prefix_begins_an_id(cls, prefix: str | None) -> str | None:
        if prefix is not None and not _ID_PREFIX.fullmatch(prefix):
            raise ValueError(
                "must be at most 40 letters, digits, '.', '_' or '-', beginning with a letter or "
                'digit; "" for none'
            )
        return prefix

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.url is None and self.file is None:
            raise faults_between(("url", "is required, or a file instead"))
        if self.url is not None and self.file is not None:
            raise faults_between(("file", "cannot be given beside a url; make two sources of them"))
        if self.url is None and self.header is not None:
            raise faults_between(("header", "is sent to a url only; this source is a file"))
        return self

    @property
    def prefix(self) -> str:
        """What the ids of its nodes begin with."""
        return f"{self.name[:39]}-" if self.id_prefix is None else self.id_prefix


class UsersConfig(Section):
    """[users]: files of their own for each user; see :mod:`healthd.publishing.users`."""

    file: AbsolutePath | None = None
    tiers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Tier -> the tags of nodes it may use; an empty list: all nodes."""

    @field_validator("tiers")
    @classmethod
    def _tiers_have_names(cls, tiers: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if any(not re.fullmatch(NAME, tier) for tier in tiers):
            raise ValueError(
                "has a tier whose name is not 1 to 64 letters, digits, '.', '_' or '-', beginning "
                "with a letter or digit"
            )
        return tiers
