"""The share link of one node, for a device to take up."""

import io
import sys
from pathlib import Path

import click
import segno

from healthd import startup
from healthd.cli.common import clear_errors, config_option
from healthd.cli.files import write_private
from healthd.cli.kept import chosen
from healthd.errors import HealthdError
from healthd.fleet import links


@click.command()
@click.argument("node")
@config_option
@click.option("--qr/--no-qr", default=None, help="Show a QR code; by default on a terminal.")
@click.option(
    "--png", type=click.Path(path_type=Path, dir_okay=False), help="Write it as an image."
)
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Write it as an image."
)
@clear_errors
def link(node: str, path: Path, qr: bool | None, png: Path | None, svg: Path | None) -> None:
    """Print the share link of NODE, and a QR code of it on a terminal.

    The link holds the credentials of the monitor's own user: it is for trying a node out.
    """
    (found,) = chosen(startup.read_config(path), [node])
    text = links.write(found.endpoint, found.name)
    click.echo(text)
    if qr is None:
        qr = sys.stdout.isatty() and sys.stderr.isatty()
    if not (qr or png or svg):
        return
    code = _code(text)
    if qr:
        shown = io.StringIO()
        code.terminal(shown, compact=True)
        click.echo(shown.getvalue(), err=True)  # nothing but the link on standard output
    for kind, file in (("png", png), ("svg", svg)):
        if file is not None:
            image = io.BytesIO()
            code.save(image, kind=kind, scale=4)
            write_private(file, image.getvalue(), replace=False)


def _code(text: str) -> segno.QRCode:
    try:
        return segno.make_qr(text, error="l")
    except segno.DataOverflowError:
        raise HealthdError(
            f"the link is too long for a QR code: it has {len(text.encode())} bytes, a code holds "
            "at most 2953; copy the link instead (--no-qr)"
        ) from None
