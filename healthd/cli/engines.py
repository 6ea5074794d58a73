"""The engines: which are used, and how to obtain one."""

import json
from pathlib import Path

import click

from healthd import startup
from healthd.cli.common import clear_errors, config_option, json_option
from healthd.config import Config
from healthd.engines import find


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
    engine = find.find_xray(config.engines.xray)
    if as_json:
        click.echo(json.dumps({"xray": {"path": engine.path, "version": engine.version}}))
    else:
        click.echo(f"xray {engine.version} {engine.path}")


@engines.command()
@clear_errors
def install() -> None:
    """Obtain the pinned Xray into the user's cache: built with Go, else the official release."""
    engine = find.install_xray(lambda words: click.echo(words, err=True))
    click.echo(f"xray {engine.version} {engine.path}")
