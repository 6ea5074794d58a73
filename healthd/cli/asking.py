"""Asking the running daemon: what it thinks over HTTP, for changes over its socket."""

import getpass
import os
import socket
import sys
from pathlib import Path
from typing import Any

import click
import httpx

from healthd import startup
from healthd.config import Config, join_listen, split_listen
from healthd.errors import HealthdError


def ask_status(config: Config) -> Any:  # noqa: ANN401 - JSON
    """What the daemon of this configuration thinks and publishes.

    Raises:
        HealthdError: none answers.
    """
    host, port = split_listen(config.http.listen)
    where = join_listen(host, port)
    try:
        answer = httpx.get(f"http://{where}/api/v1/status", timeout=10, trust_env=False)
        answer.raise_for_status()
        return answer.json()
    except (httpx.HTTPError, ValueError) as why:
        raise HealthdError(
            f"no healthd answers on {config.http.listen} ({type(why).__name__}); "
            "is it running with this configuration?"
        ) from why


def ask_control(path: Path, method: str, what: str, body: Any) -> Any:  # noqa: ANN401 - JSON
    """Have the daemon of the configuration in this file do something.

    Ends the program with exit code 1 when the daemon will not, as things are.

    Raises:
        HealthdError: it cannot be reached, or does not understand.
    """
    where = startup.read_config(path).control.socket
    _knock(where)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(where)), timeout=15) as client:
            answer = client.request(method, f"http://healthd/api/v1/{what}", json=body)
        told = answer.json()
    except (httpx.HTTPError, ValueError) as why:
        raise HealthdError(f"no answer from healthd on {where} ({type(why).__name__})") from why
    if answer.status_code == httpx.codes.CONFLICT:
        click.echo(f"healthd: {told['error']}", err=True)
        sys.exit(1)
    if answer.is_error:
        raise HealthdError(told["error"])
    return told


def _knock(where: Path) -> None:
    """Connect once for the reason alone: httpx would only say that it could not.

    Raises:
        HealthdError: nobody is there, or we may not; with the mend.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(where))
        except FileNotFoundError:
            words = f"healthd is not running with this configuration: there is no {where}"
        except ConnectionRefusedError:
            words = f"healthd has died: nobody listens on {where}; start it again"
        except PermissionError:
            words = (
                f"no right to use {where}; run this as root or as healthd's user, or join the "
                "group of the socket"
            )
        except OSError as why:
            words = f"cannot reach healthd on {where}: {why.strerror}"
        else:
            return
    raise HealthdError(words)


def author() -> str:
    """Who says so: the person behind sudo, if there is one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return f"uid {os.getuid()}"
