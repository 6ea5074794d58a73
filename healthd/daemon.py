"""The composition root: one trio nursery, and nothing else knows all the rooms.

What fails before READY ends the daemon with a message. A bug after it ends the daemon too: systemd
starts it again, and the published files outlive it.
"""

import signal
import ssl
import time
from collections.abc import Awaitable, Mapping
from pathlib import Path

import structlog
import trio

from healthd import __version__, accounting, startup
from healthd.config import Config, GateConfig, SourceConfig, VerdictConfig, join_listen
from healthd.desk import Desk, bulk_server_judged
from healthd.engines.dialect import EngineName
from healthd.engines.program import Programs, programs
from healthd.engines.tunnels import Tunnels
from healthd.errors import ConfigError, HealthdError, Problem
from healthd.model import IN_SERVICE, Node, Result
from healthd.observing import logs
from healthd.observing.metrics import Metrics
from healthd.observing.sdnotify import SystemdNotifier
from healthd.observing.sources import SourceCollector
from healthd.overriding import Overriding
from healthd.probing.check_tls import check_tls
from healthd.probing.direct import DirectCheck
from healthd.probing.lag import LoopWatch
from healthd.probing.prober import Prober
from healthd.probing.resources import ResourceWatch
from healthd.probing.selfcheck import Fault, SelfCheck
from healthd.publishing.publisher import Clocks, Publication
from healthd.publishing.service import PublishingService
from healthd.publishing.verifying import asker
from healthd.serving.app import Surface
from healthd.serving.control import Control
from healthd.serving.server import serve
from healthd.serving.sources import routes as source_routes
from healthd.sourcing.fetching import Answer, fetch
from healthd.sourcing.service import Sources
from healthd.sourcing.shelf import DIRECTORY as SHELF
from healthd.sourcing.shelf import Shelf
from healthd.store.restoring import restore
from healthd.store.service import FILE, Store
from healthd.verdict.board import Board
from healthd.verdict.gate import FIRST_ROUND
from healthd.verdict.overrides import Override
from healthd.watching import Watchers

log = structlog.get_logger()

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
    with startup.claim(config) as sockets:
        if swept := startup.sweep(config, _owner(config)):
            log.warning("leftovers_swept", processes=swept)
        trio.run(_main, path, config, ground, sockets, systemd)


async def _main(
    path: Path,
    config: Config,
    ground: startup.Ground,
    sockets: startup.Sockets,
    systemd: SystemdNotifier,
) -> None:
    async with trio.open_nursery() as nursery:
        daemon = Daemon(nursery, path, config, ground, systemd)
        await nursery.start(daemon.heed_signals)
        await daemon.start(sockets)


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
        self._panel_tls = _panel_tls(config, ground)
        self._board = Board()
        self._metrics = Metrics(
            self._board,
            lambda: self._publishing.publications,
            lambda: self._publishing.decisions,
            ground.engines,
        )
        self._store = Store(
            config.paths.state / FILE,
            config.store,
            interval=self._interval,
            wall=time.time,
            on_health=self._metrics.store_ok.set,
            on_overrides=self._on_overrides,
        )
        self._self_check = SelfCheck(
            self._direct_check(), config.probe.interval, self._on_self_check
        )
        self._loop = LoopWatch(self._self_check.note_late)
        self._resources = ResourceWatch(
            [table.directory for table in config.publish], self._self_check.note_shortages
        )
        self._sources = Sources(
            nursery,
            self._fetch,
            Shelf(config.paths.state / SHELF),
            changed=self._renew_fleet,
        )
        self._metrics.registry.register(SourceCollector(self._sources.statuses))
        self._desk = Desk(
            self._metrics,
            self._store,
            self._self_check,
            self._touch,
            self._engine_of,
        )
        self._publishing = PublishingService(
            self._publications(config),
            candidates=lambda: [record.candidate for record in self._board],
            first_round_over=self._all_judged,
            first_round_ends=trio.current_time() + FIRST_ROUND * config.probe.interval,
            monitor_ok=lambda: self._self_check.ok,
            interval=self._interval,
            config=config.gate,
            on_outcome=self._desk.publication_tried,
        )
        for table in config.publish:
            self._metrics.announce(table.name)
        self._overriding = Overriding(
            self._board,
            publications=lambda: self._publishing.publications,
            rules=self._rules,
            keep=self._keep_overrides,
            changed=self._touch,
            transition=self._desk.requalified,
        )
        self._watchers = Watchers(nursery, self._board, self._probe, self._desk.listeners())
        self._prober = self._new_prober()

    async def start(self, sockets: startup.Sockets) -> None:
        """Start all services; returns when the daemon works."""
        await self._remember()
        surface = Surface(
            self._board,
            self._metrics,
            self._publishing,
            self._watchers.stalled,
            lambda: self._self_check.faults,
            lambda: self._store.problem,
            self._sources.statuses,
        )
        host, port = sockets.http.getsockname()[:2]
        await self._nursery.start(serve, surface.application(), sockets.http)
        control = Control(self._overriding, more=source_routes(self._sources.accept))
        await self._nursery.start(serve, control.application(), sockets.control)
        self._watchers.apply(self._fleet(), self._config.probe, self._config.verdict)
        self._sources.start()
        for service in (
            self._publishing.run,
            self._overriding.run,
            self._self_check.run,
            self._resources.run,
            self._loop.run,
            self._report,
        ):
            self._nursery.start_soon(service)
        self._nursery.start_soon(self._store.run, self._board)
        self._nursery.start_soon(
            accounting.count,
            self._board,
            lambda: self._publishing.publications,
            self._interval,
            self._desk.publication_slot,
        )
        self._systemd.ready()
        log.info(
            "daemon_started",
            version=__version__,
            engines={name: engine.version for name, engine in self._ground.engines.items()},
            nodes=len(self._board),
            listen=join_listen(host, port),
        )

    async def _remember(self) -> None:
        """Take up what the last run knew; without it the daemon starts all the same."""
        loaded = await trio.to_thread.run_sync(self._store.open_and_load)
        await self._sources.recall(self._config.sources)
        fleet, now = self._fleet(), trio.current_time()
        self._board.replace(fleet, now)
        known = restore(loaded, fleet, now=now, wall=time.time())
        self._board.restore(known)
        self._overriding.take_up(loaded.overrides)
        self._tell_store()
        log.info("state_restored", nodes=len(known), overrides=len(self._overriding.laid))

    def _fleet(self) -> tuple[Node, ...]:
        """The nodes of the configuration and of its sources, in failover order."""
        return self._sources.join(self._config.fleet())

    def _renew_fleet(self) -> None:
        """A source has other nodes now: as in a reload, who is the same keeps all he has."""
        self._watchers.apply(self._fleet(), self._config.probe, self._config.verdict)
        self._overriding.apply()  # this also has the publications looked at
        self._tell_store()
        log.info("fleet_changed", nodes=len(self._board))

    def _fetch(self, source: SourceConfig, etag: str) -> Awaitable[Answer | None]:
        return fetch(source, self._panel_tls, etag)

    def _all_judged(self) -> bool:
        """Whether all nodes have had a verdict, those included that sources are to tell."""
        return self._sources.all_known() and self._board.all_judged()

    def _tell_store(self) -> None:
        """What the store must know of the configuration."""
        self._store.config = self._config.store
        names = [table.name for table in self._config.publish]
        ids = [record.node.id for record in self._board]
        self._store.watched_are(ids, names, time.time())
        self._store.set_overrides(self._overriding.laid)

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

    def _probe(self, node: Node, *, recheck: bool, confirm: bool, bulk: bool) -> Awaitable[Result]:
        return self._prober.probe(node, recheck=recheck, confirm=confirm, bulk=bulk)

    def _engine_of(self, node: Node) -> EngineName | None:
        return self._tunnels.engine_of(node)

    def _touch(self) -> None:
        self._publishing.touch()

    def _on_self_check(self, _ok: bool, faults: Mapping[Fault, str]) -> None:
        self._metrics.self_checked(faults)
        self._touch()

    def _interval(self) -> float:
        return self._config.probe.interval

    def _rules(self) -> tuple[GateConfig, VerdictConfig]:
        return self._config.gate, self._config.verdict

    def _direct_check(self) -> DirectCheck:
        probe = self._config.probe
        return DirectCheck(
            self._config.self_check_urls, probe.expect_status, probe.deadline, self._ground.tls
        )

    def _new_prober(self) -> Prober:
        probe = self._config.probe
        self._tunnels = tunnels = Tunnels(
            self._programs(),
            self._nursery,
            hysteria2=self._config.engines.hysteria2,
            shift_mates=self._watchers.shift_mates,
            shift=probe.shift_length,
            max_clients=probe.max_clients,
            shift_clients=probe.shift_clients,
            on_start=self._desk.engine_started,
        )
        self._metrics.clients.set_function(lambda: tunnels.clients)
        return Prober(
            tunnels,
            urls=probe.urls,
            self_check_urls=self._config.self_check_urls,
            expect_status=probe.expect_status,
            deadline=probe.deadline,
            tls=self._ground.tls,
            on_control=self._self_check.note_control,
            loop_late=self._loop.late_since,
            short_of=self._resources.short_of,
            line_bad=self._self_check.line_was_bad,
            bulk_url=probe.bulk_url,
            bulk_bytes=probe.bulk_bytes,
            on_bulk_server=bulk_server_judged,
        )

    def _programs(self) -> Programs:
        """The engines that were found, as this daemon starts them."""
        return programs(
            self._ground.engines,
            owner=_owner(self._config),
            ca_file=self._config.engines.ca_file,
        )

    def _publications(self, config: Config) -> list[Publication]:
        ask = asker(self._programs(), self._ground.engines.get(EngineName.SING_BOX))
        clocks = Clocks(time.time, trio.current_time)
        url, status = config.probe.urls[0], config.probe.expect_status
        made = [
            Publication(table, url, ask, clocks, status, self._ground.users)
            for table in config.publish
        ]
        for publication in made:
            publication.load()
        return made

    def _on_overrides(self, laid: tuple[Override, ...]) -> None:
        self._overriding.take_up(laid)

    async def _keep_overrides(self, laid: tuple[Override, ...]) -> bool:
        self._store.set_overrides(laid)
        return await self._store.flush()

    async def _report(self) -> None:
        """Signs of life for systemd: only while every node's task shows one."""
        period = min(_REPORT_PERIOD, (self._systemd.watchdog or _REPORT_PERIOD) / 2)
        while True:
            up = sum(record.state.health in IN_SERVICE for record in self._board)
            faults = f"; at fault here: {', '.join(self._self_check.faults)}"
            told = f"{up} of {len(self._board)} nodes in service"
            self._systemd.status(told if self._self_check.ok else told + faults)
            if self._watchers.check_clock():
                self._metrics.clock_jumps.inc()
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
        self._panel_tls = _panel_tls(config, ground)
        logs.configure(config.log)
        self._sources.apply(config.sources)
        self._watchers.apply(self._fleet(), config.probe, config.verdict)
        # A new one even if nothing changed: refused nodes get another chance, the engine may be a
        # newer one. The clients of the old one end with their shift.
        self._prober = self._new_prober()
        self._publishing.apply(self._publications(config), config.gate)
        self._overriding.apply()
        self._self_check.apply(self._direct_check(), config.probe.interval)
        self._resources.directories = tuple(table.directory for table in config.publish)
        self._tell_store()
        self._metrics.engines_are(ground.engines)
        for table in config.publish:
            self._metrics.announce(table.name)


def _panel_tls(config: Config, ground: startup.Ground) -> ssl.SSLContext:
    """What verifies sources: the system's authorities, whatever else the check URLs need."""
    if config.probe.ca_file is None:
        return ground.tls
    tls = check_tls(None)
    tls.load_verify_locations(config.probe.ca_file)
    return tls


def _refuse_fixed(path: Path, before: Config, after: Config) -> None:
    """Some keys hold for the life of the process."""
    fixed = {
        "http.listen": (before.http, after.http),
        "control.socket": (before.control, after.control),
        "paths.state": (before.paths, after.paths),
    }
    problems = [
        Problem(key, "cannot change while healthd runs; restart it, or undo the change")
        for key, (old, new) in fixed.items()
        if old != new
    ]
    if problems:
        raise ConfigError(str(path), problems)
