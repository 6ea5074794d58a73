"""Telling the running daemon what to do with nodes: drain, maintain, force, resume."""

import json
from pathlib import Path
from typing import Any

import click

from healthd.cli.asking import ask_control, author
from healthd.cli.common import clear_errors, config_option, data, duration, json_option
from healthd.model import AdminMode

_node_argument = click.argument("patterns", metavar="NODE…", nargs=-1, required=True)
_for_option = click.option(
    "--for",
    "seconds",
    callback=duration,
    help='For how long, such as "2h"; at most 7 days. A drain lasts until it is resumed, all else '
    "4 hours, unless told otherwise.",
)
_floor_option = click.option(
    "--allow-below-floor", is_flag=True, help="Even if fewer nodes than the floor are left."
)


def _override(mode: AdminMode, help_text: str) -> click.Command:
    @config_option
    @_node_argument
    @_for_option
    @click.option("--reason", required=True, help="Why: for the log and for colleagues.")
    @_floor_option
    @json_option
    @clear_errors
    def command(
        path: Path,
        patterns: tuple[str, ...],
        seconds: float | None,
        reason: str,
        allow_below_floor: bool,
        as_json: bool,
    ) -> None:
        for pattern in patterns:
            about = {
                "pattern": pattern,
                "mode": mode,
                "seconds": seconds,
                "reason": reason,
                "author": author(),
                "allow_below_floor": allow_below_floor,
            }
            _tell(ask_control(path, "POST", "overrides", about), as_json)

    return click.command(name=_NAMES[mode], help=help_text)(command)


_NAMES = {
    AdminMode.DRAIN: "drain",
    AdminMode.MAINTENANCE: "maintain",
    AdminMode.FORCE_UP: "force-up",
    AdminMode.FORCE_DOWN: "force-down",
}

_WHERE = "\n\nNODE is an id, or a pattern such as 'hk-*' (in quotes)."

drain = _override(
    AdminMode.DRAIN, "Take nodes out of the published files; they are still probed." + _WHERE
)
maintain = _override(
    AdminMode.MAINTENANCE,
    "Take nodes out while somebody works on them.\n\nTheir slots do not count for the availability "
    "figures, nobody is warned about them, and afterwards they must requalify." + _WHERE,
)
force_up = _override(AdminMode.FORCE_UP, "Publish nodes whatever the probes say of them." + _WHERE)
force_down = _override(
    AdminMode.FORCE_DOWN, "Take nodes out whatever the probes say of them." + _WHERE
)


@click.command()
@config_option
@_node_argument
@click.option("--reason", default="", help="Why: for the log and for colleagues.")
@json_option
@clear_errors
def resume(path: Path, patterns: tuple[str, ...], reason: str, as_json: bool) -> None:
    """End what drain, maintain, force-up or force-down began.

    NODE is an id, or a pattern such as 'hk-*' (in quotes).
    """
    for pattern in patterns:
        about = {"pattern": pattern, "reason": reason, "author": author()}
        _tell(ask_control(path, "POST", "resume", about), as_json)


def _tell(told: Any, as_json: bool) -> None:  # noqa: ANN401 - JSON
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    override = told["override"]
    until = f" until {override['expires']}" if override["expires"] else ""
    data.print(f"{override['mode']}{until}: {', '.join(told['nodes']) or 'no node now'}")
    if not told["kept"]:
        click.echo("healthd: not kept: the store does not work; a restart forgets it", err=True)
