"""The composition root: one trio nursery, and nothing else knows all the rooms.

What fails before READY ends the daemon with a message. A bug after it ends the daemon too: systemd
starts it again, and the published files outlive it.
"""

import signal
import socket
import time
from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import structlog
import trio

from healthd import __version__, startup
from healthd.config import Config, join_listen
from healthd.engines.check import check
from healthd.engines.tunnels import Tunnels
from healthd.errors import ConfigError, HealthdError, Problem
from healthd.model import IN_SERVICE, Node, Outcome, Result
from healthd.observing import logs
from healthd.observing.metrics import Metrics
from healthd.observing.sdnotify import SystemdNotifier
from healthd.probing.lag import LoopWatch
from healthd.probing.prober import Prober
from healthd.publishing.publisher import Publication
from healthd.publishing.service import PublishingService
from healthd.serving.app import Surface
from healthd.serving.server import serve
from healthd.verdict.board import Board
from healthd.watching import Listeners, Watchers

log = structlog.get_logger()

FIRST_ROUND = 3
"""Intervals after which publishing begins even if a node has had no verdict: 90 s at 30 s."""

_REPORT_PERIOD = 5.0
"""Seconds between two lines for `systemctl status`."""


def run(path: Path) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration is faulty.
        EngineMissing: there is no Xray.
        StartupError: the machine lacks something else.
    """
    systemd = SystemdNotifier()
    config = startup.read_config(path)
    logs.configure(config.log)
    ground = startup.prepare(config)
    with startup.claim(config) as listener:
        if swept := startup.sweep(config, _owner(config)):
            log.warning("leftovers_swept", processes=swept)
        trio.run(_main, path, config, ground, listener, systemd)


async def _main(
    path: Path,
    config: Config,
    ground: startup.Ground,
    listener: socket.socket,
    systemd: SystemdNotifier,
) -> None:
    async with trio.open_nursery() as nursery:
        daemon = Daemon(nursery, path, config, ground, systemd)
        await nursery.start(daemon.heed_signals)
        await daemon.start(listener)


def _owner(config: Config) -> str:
    return str(config.paths.state.resolve())


class Daemon:
    """The running daemon: what is in force now, and how a reload replaces it.

    Args:
        nursery: Where everything lives; cancelled to stop.
        path: The configuration file, read again at SIGHUP.
        config: What it says now.
        ground: What was found for it on this machine.
        systemd: Told how we are.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        path: Path,
        config: Config,
        ground: startup.Ground,
        systemd: SystemdNotifier,
    ) -> None:
        self._nursery = nursery
        self._path = path
        self._config = config
        self._ground = ground
        self._systemd = systemd
        self._self_check_ok = True
        self._offline_until = float("-inf")
        self._board = Board()
        self._loop = LoopWatch()
        self._publishing = PublishingService(
            self._publications(config),
            nodes=lambda: [record.publishable for record in self._board],
            health=self._board.health,
            first_round_over=self._board.all_judged,
            first_round_ends=trio.current_time() + FIRST_ROUND * config.probe.interval,
            config=config.gate,
            on_outcome=lambda p, outcome: self._metrics.published(p.config.name, outcome),
        )
        self._metrics = Metrics(
            self._board,
            lambda: self._publishing.publications,
            lambda: self._publishing.decisions,
            ground.engine.version,
        )
        for publication in self._publishing.publications:
            self._metrics.announce(publication.config.name)
        self._watchers = Watchers(nursery, self._board, self._probe, self._listeners())
        self._prober = self._new_prober()

    async def start(self, listener: socket.socket) -> None:
        """Start all services; returns when the daemon works."""
        surface = Surface(
            self._board,
            self._metrics,
            self._publishing,
            self._watchers.stalled,
            lambda: self._self_check_ok,
        )
        host, port = listener.getsockname()[:2]
        await self._nursery.start(serve, surface.application(), listener)
        self._watchers.apply(self._config.fleet(), self._config.probe, self._config.verdict)
        self._nursery.start_soon(self._publishing.run)
        self._nursery.start_soon(self._report)
        self._nursery.start_soon(self._loop.run)
        self._systemd.ready()
        log.info(
            "daemon_started",
            version=__version__,
            xray=self._ground.engine.version,
            nodes=len(self._board),
            listen=join_listen(host, port),
        )

    async def heed_signals(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Reload at SIGHUP; stop at SIGTERM and SIGINT."""
        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        with trio.open_signal_receiver(*wanted) as signals:
            task_status.started()
            async for number in signals:
                if number == signal.SIGHUP:
                    await self._reload()
                    continue
                log.info("daemon_stopping", signal=signal.Signals(number).name)
                self._systemd.stopping()
                self._nursery.cancel_scope.cancel(reason="a signal said stop")
                return

    def _probe(self, node: Node, *, recheck: bool) -> Awaitable[Result]:
        return self._prober.probe(node, recheck=recheck)

    def _new_prober(self) -> Prober:
        probe = self._config.probe
        tunnels = Tunnels(
            self._ground.engine.path,
            self._nursery,
            shift_mates=self._watchers.shift_mates,
            shift=probe.shift_length,
            max_clients=probe.max_clients,
            shift_clients=probe.shift_clients,
            owner=_owner(self._config),
            on_start=self._metrics.started,
        )
        self._metrics.clients.set_function(lambda: tunnels.clients)
        return Prober(
            tunnels,
            urls=probe.urls,
            self_check_urls=self._config.self_check_urls,
            expect_status=probe.expect_status,
            deadline=probe.deadline,
            tls=self._ground.tls,
            on_control=self._note_self_check,
            loop_late=self._loop.late_since,
        )

    def _publications(self, config: Config) -> list[Publication]:
        ask = partial(check, self._ground.engine.path, owner=_owner(config))
        made = [
            Publication(table, config.probe.urls[0], ask, now=time.time) for table in config.publish
        ]
        for publication in made:
            publication.load()
        return made

    def _listeners(self) -> Listeners:
        def on_result(result: Result, seconds: float) -> None:
            self._metrics.probe_duration.observe(seconds)
            # The check URLs may be reachable through the nodes only: a fresh bad answer stands.
            if result.outcome is Outcome.SUCCESS and trio.current_time() >= self._offline_until:
                self._note_self_check(good=True)

        return Listeners(
            transition=lambda _record, _transition: self._publishing.touch(),
            judged=self._publishing.touch,
            result=on_result,
            lag=self._metrics.lag.observe,
            overruns=self._metrics.overruns.inc,
        )

    def _note_self_check(self, good: bool) -> None:
        if not good:
            self._offline_until = trio.current_time() + 2 * self._config.probe.interval
        if good is not self._self_check_ok:
            (log.info if good else log.error)("self_check_changed", ok=good)
        self._self_check_ok = good
        self._metrics.self_check_ok.set(good)

    async def _report(self) -> None:
        """Signs of life for systemd: only while every node's task shows one."""
        period = min(_REPORT_PERIOD, (self._systemd.watchdog or _REPORT_PERIOD) / 2)
        while True:
            up = sum(record.state.health in IN_SERVICE for record in self._board)
            self._systemd.status(f"{up} of {len(self._board)} nodes in service")
            if not (stalled := self._watchers.stalled()):
                self._systemd.alive()
            else:
                log.error("watchers_stalled", nodes=len(stalled), first=stalled[0])
            await trio.sleep(period)

    async def _reload(self) -> None:
        """Read the configuration again: all of it is sound and taken up, or nothing changes."""
        self._systemd.reloading()
        try:
            config = await trio.to_thread.run_sync(startup.read_config, self._path)
            _refuse_fixed(self._path, self._config, config)
            ground = await trio.to_thread.run_sync(startup.prepare, config)
        except HealthdError as why:
            self._metrics.reload_ok.set(0)
            for line in str(why).splitlines():
                log.error("config_reload_failed", why=line)  # noqa: TRY400 - told in full
        else:
            self._take_up(config, ground)
            self._metrics.reload_ok.set(1)
            log.info("config_reloaded", nodes=len(self._board))
        self._systemd.ready()

    def _take_up(self, config: Config, ground: startup.Ground) -> None:
        self._config, self._ground = config, ground
        logs.configure(config.log)
        self._watchers.apply(config.fleet(), config.probe, config.verdict)
        # A new one even if nothing changed: refused nodes get another chance, the engine may be a
        # newer one. The clients of the old one end with their shift.
        self._prober = self._new_prober()
        self._publishing.apply(self._publications(config), config.gate)
        self._metrics.engine_is(ground.engine.version)
        for table in config.publish:
            self._metrics.announce(table.name)


def _refuse_fixed(path: Path, before: Config, after: Config) -> None:
    """Some keys hold for the life of the process."""
    fixed = {"http.listen": (before.http, after.http), "paths.state": (before.paths, after.paths)}
    problems = [
        Problem(key, "cannot change while healthd runs; restart it, or undo the change")
        for key, (old, new) in fixed.items()
        if old != new
    ]
    if problems:
        raise ConfigError(str(path), problems)
