"""What this machine must offer before the daemon begins; each lack has its own message."""

import errno
import fcntl
import os
import socket
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from healthd.config import Config, included_names, parse, split_listen
from healthd.engines import process
from healthd.engines.dialect import Engine, EngineName
from healthd.engines.find import find_engines
from healthd.errors import ConfigError, Problem, StartupError
from healthd.probing.check_tls import check_tls
from healthd.publishing import users
from healthd.publishing.directory import PublicationDirectory
from healthd.publishing.users import User, Users


def read_config(path: Path) -> Config:
    """Read and check the configuration file, and the files that it includes.

    Raises:
        ConfigError: one of them cannot be read, or holds faults; all of them are named.
    """
    try:
        text = _read(path)
    except ValueError as why:
        raise ConfigError(str(path), [Problem("", str(why))]) from why
    included, unread = {}, {}
    for name in included_names(text):
        try:
            included[name] = _read(path.parent / name)
        except ValueError as why:
            unread[name] = str(why)
    return parse(text, str(path), included, unread)


def read_users(config: Config) -> tuple[User, ...]:
    """Read and check the users file; nobody where there is none.

    Raises:
        ConfigError: it cannot be read, or holds faults; all of them are named.
    """
    if (file := config.users.file) is None:
        return ()
    try:
        text = _read(file)
    except ValueError as why:
        raise ConfigError(str(file), [Problem("", f"{why} (users.file names it)")]) from why
    return users.parse(text, str(file), config.users.tiers)


def _read(path: Path) -> str:
    """The file's text.

    Raises:
        ValueError: it cannot be read; says why.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as why:
        raise ValueError(f"cannot be read: {why.strerror}") from why
    except UnicodeDecodeError as why:
        raise ValueError(f"is not UTF-8: byte {why.start}") from why


def warnings(path: Path, config: Config) -> Iterator[str]:
    """What is legal but hardly meant."""
    of_users = [config.users.file] if config.users.file and config.users.file.exists() else []
    for file in (path, *(path.parent / name for name in config.include), *of_users):
        if file.stat().st_mode & stat.S_IROTH:
            yield f"{file} holds credentials and is world-readable; chmod o-r {file}"
    seen: dict[str, str] = {}
    for node in config.fleet():
        twin = seen.setdefault(node.fingerprint, node.id)
        if twin != node.id:
            yield f"nodes {twin!r} and {node.id!r} are the same endpoint"
    if not set(config.probe.urls) <= set(config.self_check_urls):
        yield (
            "self_check.urls does not hold the check URLs: when these are down and the others are "
            "not, nodes are blamed"
        )
    if len(config.probe.urls) < 2:
        yield "probe.urls names one check URL: when it is down, no node can be judged"


@dataclass(frozen=True, slots=True)
class Ground:
    """What a configuration needs of this machine, found."""

    engines: Mapping[EngineName, Engine]
    """Xray always; sing-box if there is one."""
    tls: ssl.SSLContext
    users: Users | None = None
    """Who has files of his own; None: everybody has the common ones."""

    @property
    def engine(self) -> Engine:
        """Xray."""
        return self.engines[EngineName.XRAY]


def prepare(config: Config) -> Ground:
    """Find what the configuration needs, and make its directories ready; blocks.

    Raises:
        ConfigError: the users file is faulty.
        EngineMissing: there is no Xray.
        StartupError: the machine lacks something else.
    """
    everyone = read_users(config)
    ground = Ground(
        prepare_engines(config),
        load_tls(config),
        Users(everyone, config.users.tiers) if everyone else None,
    )
    prepare_directories(config)
    return ground


def prepare_engines(config: Config) -> dict[EngineName, Engine]:
    """Find the engines, and see that they can trust what they are told to; blocks.

    Raises:
        EngineMissing: there is no Xray.
        StartupError: ``engines.ca_file`` cannot be used.
    """
    if (file := config.engines.ca_file) is not None:
        _require_authorities("engines.ca_file", file)
    return find_engines(config.engines.xray, config.engines.sing_box)


@dataclass(frozen=True, slots=True)
class Sockets:
    """What the daemon listens on."""

    http: socket.socket
    control: socket.socket


@contextmanager
def claim(config: Config) -> Iterator[Sockets]:
    """Hold the state directory's lock, the HTTP address and the control socket.

    Raises:
        StartupError: another process has one of them.
    """
    lock = claim_state(config.paths.state)
    try:
        with bind(config.http.listen) as http, bind_control(config.control.socket) as control:
            yield Sockets(http, control)
        config.control.socket.unlink(missing_ok=True)
    finally:
        os.close(lock)


def claim_state(directory: Path) -> int:
    """Make the state directory and lock it; return the lock's descriptor, to be kept open.

    Raises:
        StartupError: it cannot be used, or another healthd uses it.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise StartupError(
            f"paths.state: cannot use {directory}: {why.strerror}; make it writable for this user, "
            "or set another one"
        ) from why
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as why:
        os.close(lock)
        raise StartupError(f"paths.state: another healthd is running on {directory}") from why
    return lock


def bind(listen: str) -> socket.socket:
    """Bind the HTTP address.

    Raises:
        StartupError: it is taken, or not ours to bind.
    """
    host, port = split_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = None
    try:
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as why:
        if listener is not None:
            listener.close()
        raise StartupError(
            f"http.listen: cannot listen on {listen}: {why.strerror}; stop what uses it, or set "
            "another address"
        ) from why
    return listener


def bind_control(path: Path) -> socket.socket:
    """Bind the control socket: for this user and its group only.

    Raises:
        StartupError: its directory cannot be used, or something else is in its place.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        if path.is_socket():
            _remove_stale(path)
        # From its first moment on, nobody else may connect.
        before = os.umask(0o777 & ~_CONTROL_MODE)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(16)
    except OSError as why:
        listener.close()
        raise StartupError(
            f"control.socket: cannot listen on {path}: {why.strerror or why}; make its directory "
            "writable for this user, or set another path"
        ) from why
    return listener


_CONTROL_MODE = 0o660


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more.

    Raises:
        OSError: somebody does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise OSError(errno.EADDRINUSE, "another process listens on it")


def prepare_directories(config: Config) -> None:
    """Make every publication's directory ready.

    Raises:
        StartupError: one cannot be made or written.
    """
    seen: dict[Path, int] = {}
    for index, publish in enumerate(config.publish):
        twin = seen.setdefault(publish.directory.resolve(), index)
        if twin != index:
            raise StartupError(
                f"publish[{index}].directory: is the same directory as publish[{twin}]'s"
            )
        try:
            PublicationDirectory(publish.directory).prepare()
        except OSError as why:
            raise StartupError(
                f"publish[{index}].directory: cannot write {why.filename or publish.directory}: "
                f"{why.strerror}; create it for this user (with the set-group-ID bit, if its group "
                "is not this user's), or set another one"
            ) from why


def check_directories(config: Config) -> None:
    """Look whether the publications could be written, without making anything.

    Raises:
        StartupError: one could not.
    """
    for index, publish in enumerate(config.publish):
        place = _existing(publish.directory)
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise StartupError(
                f"publish[{index}].directory: cannot write {place} as this user; create "
                f"{publish.directory} for it, or set another one"
            )


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def sweep(config: Config, owner: str) -> int:
    """Remove what a killed daemon left behind; return how many processes that were.

    Only for the holder of the state directory's lock: nobody else writes or probes then.

    Raises:
        StartupError: something cannot be removed.
    """
    for index, publish in enumerate(config.publish):
        try:
            PublicationDirectory(publish.directory).sweep()
        except OSError as why:
            raise StartupError(
                f"publish[{index}].directory: cannot remove {why.filename}: {why.strerror}"
            ) from why
    return process.sweep(owner)


def load_tls(config: Config) -> ssl.SSLContext:
    """The context that verifies https check URLs.

    Raises:
        StartupError: ``probe.ca_file`` cannot be used.
    """
    return _require_authorities("probe.ca_file", config.probe.ca_file)


def _require_authorities(key: str, file: Path | None) -> ssl.SSLContext:
    """A context that trusts the authorities of a PEM file.

    Raises:
        StartupError: it cannot be read, or holds none; ``key`` names it.
    """
    try:
        return check_tls(file)
    except ssl.SSLError as why:
        raise StartupError(f"{key}: {file} holds no PEM certificate") from why
    except OSError as why:
        raise StartupError(f"{key}: cannot read {file}: {why.strerror}") from why
