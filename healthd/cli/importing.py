"""Turning foreign links and subscriptions into a file of [[nodes]] tables."""

import os
import re
import sys
from pathlib import Path

import click
import trio

from healthd.cli.common import clear_errors
from healthd.cli.files import write_private
from healthd.cli.imported import Harvest, tables, text_of
from healthd.config import NodeConfig, SourceConfig, parse_included
from healthd.errors import HealthdError
from healthd.fleet import subscriptions
from healthd.fleet.reading import Outcome
from healthd.model import Role
from healthd.probing.check_tls import check_tls
from healthd.sourcing.fetching import fetch
from healthd.sourcing.files import read_regular

_MOST_BYTES = 64 * 2**20
_MOST_NODES = 100_000
_SHOWN = 50
"""Entries that are told one by one; of a large panel's oddities the first are enough."""


def _prefix(_context: click.Context, _parameter: click.Parameter, prefix: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,31})?", prefix):
        raise click.BadParameter(
            "must be at most 32 letters, digits, '.', '_' or '-', beginning with a letter or digit"
        )
    return prefix


@click.command("import")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write, for its owner only; standard output if not given.",
)
@click.option("--append", "how", flag_value="append", help="Add what is new to that file.")
@click.option("--replace", "how", flag_value="replace", help="Write that file anew.")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    default=str(Role.FAILOVER),
    show_default=True,
    help="The role of all these nodes.",
)
@click.option("--tag", "tags", multiple=True, help="A tag for all these nodes; may be repeated.")
@click.option("--id-prefix", default="", callback=_prefix, help="What their ids begin with.")
@clear_errors
def import_nodes(
    inputs: tuple[str, ...],
    output: Path | None,
    how: str | None,
    role: str,
    tags: tuple[str, ...],
    id_prefix: str,
) -> None:
    """Turn links and subscriptions into [[nodes]] tables, for `include` in the configuration.

    INPUT is a file, a URL, a share link, or '-' for standard input; in any form that clients take:
    links (plain or base64), Clash YAML, sing-box JSON, Xray JSON, SIP008. Everybody on this machine
    can see a command's arguments: give links and secret URLs by '-' or in a file.

    Exits 0 when every entry is there now, 1 when some could not be taken, 2 when none could.
    """
    before = _target(output, how)
    known = parse_included(before, str(output))
    harvest, unread = _gather(inputs, known)
    found = list(
        tables(
            harvest.entries,
            taken=[node.id for node in known],
            prefix=id_prefix,
            role=Role(role),
            tags=tags,
        )
    )
    _tell(harvest, unread)
    if found:
        text = f"{before.rstrip()}\n\n{text_of(found)}" if before.strip() else text_of(found)
        _write(output, text, replace=how is not None)
    counts = harvest.counts
    lost = unread + counts[Outcome.UNSUPPORTED] + counts[Outcome.MALFORMED]
    usable = counts[Outcome.TAKEN] + counts[Outcome.DUPLICATE]
    sys.exit(0 if usable and not lost else 1 if usable else 2)


def _target(output: Path | None, how: str | None) -> str:
    """What is in the file already, and stays.

    Raises:
        HealthdError: there is one, and nobody said what to do with it; or it cannot be read.
    """
    if output is None:
        if how:
            raise click.UsageError(f"--{how} needs a file: -o FILE")
        return ""
    if not os.path.lexists(output):
        return ""
    if how is None:
        raise HealthdError(f"{output} is there already; say --append or --replace")
    try:
        return output.read_text(encoding="utf-8") if how == "append" else ""
    except OSError as why:
        raise HealthdError(f"{output}: cannot be read: {why.strerror}") from why
    except UnicodeDecodeError as why:
        raise HealthdError(f"{output}: is not UTF-8: byte {why.start}") from why


def _gather(inputs: tuple[str, ...], known: tuple[NodeConfig, ...]) -> tuple[Harvest, int]:
    """What the inputs hold that is not known, and how many of them could not be used."""
    harvest, unread = Harvest({node.node().fingerprint for node in known}), 0
    for number, given in enumerate(inputs, 1):
        label = _label(given, number)
        try:
            body = _body(given)
            harvest.add(label, subscriptions.read(body, max_nodes=_MOST_NODES))
        except HealthdError as why:
            unread += 1
            click.echo(f"healthd: {label}: {getattr(why, 'why', why)}", err=True)
        except OSError as why:
            unread += 1
            click.echo(f"healthd: {label}: cannot be read: {why.strerror}", err=True)
    return harvest, unread


def _is_url(given: str) -> bool:
    return given.lower().startswith(("http://", "https://"))


def _label(given: str, number: int) -> str:
    """What messages call an input: links and URLs are secrets."""
    if given == "-":
        return "standard input"
    return f"input {number}" if "://" in given else given


def _body(given: str) -> bytes:
    """The bytes of an input.

    Raises:
        HealthdError: it is too large, or was not answered.
        OSError: it cannot be read.
    """
    if given == "-":
        body = sys.stdin.buffer.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise HealthdError(f"is larger than {_MOST_BYTES} bytes")
        return body
    if _is_url(given):
        return _fetched(given)
    if "://" in given:
        return given.encode(errors="replace")
    try:
        return read_regular(Path(given), _MOST_BYTES)
    except ValueError as why:
        raise HealthdError(str(why)) from why


def _fetched(url: str) -> bytes:
    try:
        source = SourceConfig(name="import", url=url, max_bytes=_MOST_BYTES)
    except ValueError:
        raise HealthdError("is no URL that can be asked: no user name, no blanks") from None
    answer = trio.run(fetch, source, check_tls(None))
    return b"" if answer is None else answer.body


def _tell(harvest: Harvest, unread: int) -> None:
    """One line for each entry that was not taken, and one that counts them all."""
    told = harvest.left_out
    for label, each in told[:_SHOWN]:
        click.echo(f"{label}, {each.where}: {each.outcome}: {each.why}", err=True)
    if len(told) > _SHOWN:
        click.echo(f"… and {len(told) - _SHOWN} more", err=True)
    words = [f"{number} {outcome}" for outcome, number in harvest.counts.items()]
    words += [f"{unread} inputs unusable"] if unread else []
    click.echo(", ".join(words), err=True)


def _write(output: Path | None, text: str, *, replace: bool) -> None:
    """Write the file as a whole, or not at all.

    Raises:
        HealthdError: it cannot be written, or its text would be no sound configuration.
    """
    parse_included(text, str(output or "the result"))
    if output is None:
        click.echo(text, nl=False)
        return
    write_private(output, text.encode(), replace=replace)
    click.echo(
        f'{output} is written; put include = ["{output.name}"] at the top of the config.toml '
        "beside it (or its whole path elsewhere), let healthd's user read it, and reload healthd",
        err=True,
    )
