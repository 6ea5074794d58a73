"""The composition root: one trio nursery, and nothing else knows all the rooms.

What fails before READY ends the daemon with a message. A bug after it ends the daemon too: systemd
starts it again, and the published files outlive it.
"""

import time
from collections.abc import Awaitable, Mapping
from pathlib import Path

import structlog
import trio

from healthd import __version__, accounting, startup
from healthd.config import Config, SourceConfig, join_listen
from healthd.desk import Desk
from healthd.engines.dialect import EngineName
from healthd.errors import HealthdError
from healthd.factory import Factory
from healthd.model import Node, Result
from healthd.observing import logs
from healthd.observing.metrics import Metrics
from healthd.observing.sdnotify import SystemdNotifier
from healthd.observing.sources import SourceCollector
from healthd.overriding import Overriding
from healthd.probing.prober import Prober
from healthd.probing.selfcheck import Fault
from healthd.probing.selfwatch import SelfWatch
from healthd.publishing.service import PublishingService
from healthd.reloading import read_again
from healthd.reporting import report
from healthd.serving.app import Surface
from healthd.serving.control import Control
from healthd.serving.server import serve
from healthd.serving.sources import routes as source_routes
from healthd.signals import heed_signals
from healthd.sourcing.fetching import Answer, fetch
from healthd.sourcing.service import Sources
from healthd.sourcing.shelf import DIRECTORY, Shelf
from healthd.store.restoring import restore
from healthd.store.service import FILE, Store
from healthd.verdict.board import Board
from healthd.verdict.gate import FIRST_ROUND
from healthd.verdict.overrides import Override
from healthd.watching import Watchers

log = structlog.get_logger()


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
    factory = Factory(config, startup.prepare(config))
    with startup.claim(config) as sockets:
        if swept := startup.sweep(config, factory.owner):
            log.warning("leftovers_swept", processes=swept)
        trio.run(_main, path, factory, sockets, systemd)


async def _main(
    path: Path, factory: Factory, sockets: startup.Sockets, systemd: SystemdNotifier
) -> None:
    async with trio.open_nursery() as nursery:
        daemon = Daemon(nursery, path, factory, systemd)
        await nursery.start(heed_signals, daemon.reload, daemon.stop)
        await daemon.start(sockets)


class Daemon:
    """The running daemon: what is in force now, and how a reload replaces it.

    Args:
        nursery: Where everything lives; cancelled to stop.
        path: The configuration file, read again at SIGHUP.
        factory: Makes what it asks for.
        systemd: Told how we are.
    """

    def __init__(
        self, nursery: trio.Nursery, path: Path, factory: Factory, systemd: SystemdNotifier
    ) -> None:
        self._nursery = nursery
        self._path = path
        self._factory = factory
        self._systemd = systemd
        self._board = Board()
        self._metrics = Metrics(
            self._board,
            lambda: self._publishing.publications,
            lambda: self._publishing.decisions,
            factory.ground.engines,
        )
        self._store = self._new_store()
        self._self_watch = SelfWatch(
            factory.direct_check(), self._interval(), factory.directories, self._on_self_check
        )
        shelf = Shelf(self._config.paths.state / DIRECTORY)
        self._sources = Sources(nursery, self._fetch, shelf, changed=self._renew_fleet)
        self._metrics.registry.register(SourceCollector(self._sources.statuses))
        self._desk = Desk(
            self._metrics, self._store, self._self_watch.check, self._touch, self._engine_of
        )
        self._publishing = self._new_publishing()
        self._metrics.announce(*self._factory.publication_names)
        self._overriding = Overriding(
            self._board,
            publications=lambda: self._publishing.publications,
            rules=lambda: (self._config.gate, self._config.verdict),
            keep=self._keep_overrides,
            changed=self._touch,
            transition=self._desk.requalified,
        )
        self._watchers = Watchers(nursery, self._board, self._probe, self._desk.listeners())
        self._prober = self._new_prober()

    def _new_store(self) -> Store:
        return Store(
            self._config.paths.state / FILE,
            self._config.store,
            interval=self._interval,
            wall=time.time,
            on_health=self._metrics.store_ok.set,
            on_overrides=self._on_overrides,
        )

    def _new_publishing(self) -> PublishingService:
        return PublishingService(
            self._factory.publications(),
            candidates=lambda: [record.candidate for record in self._board],
            first_round_over=self._all_judged,
            first_round_ends=trio.current_time() + FIRST_ROUND * self._interval(),
            monitor_ok=lambda: self._self_watch.check.ok,
            interval=self._interval,
            config=self._config.gate,
            on_outcome=self._desk.publication_tried,
        )

    def _new_prober(self) -> Prober:
        self._tunnels = tunnels = self._factory.tunnels(
            self._nursery, self._watchers.shift_mates, self._desk.engine_started
        )
        self._metrics.clients.set_function(lambda: tunnels.clients)
        return self._factory.prober(tunnels, self._self_watch)

    @property
    def _config(self) -> Config:
        """What the configuration in force says."""
        return self._factory.config

    async def start(self, sockets: startup.Sockets) -> None:
        """Start all services; returns when the daemon works."""
        await self._remember()
        surface = Surface(
            self._board,
            self._metrics,
            self._publishing,
            self._watchers.stalled,
            lambda: self._self_watch.check.faults,
            lambda: self._store.problem,
            self._sources.statuses,
        )
        host, port = sockets.http.getsockname()[:2]
        await self._nursery.start(serve, surface.application(), sockets.http)
        control = Control(self._overriding, more=source_routes(self._sources.accept))
        await self._nursery.start(serve, control.application(), sockets.control)
        self._watchers.apply(self._fleet(), self._config.probe, self._config.verdict)
        self._sources.start()
        self._start_services()
        self._systemd.ready()
        log.info(
            "daemon_started",
            version=__version__,
            engines={name: one.version for name, one in self._factory.ground.engines.items()},
            nodes=len(self._board),
            listen=join_listen(host, port),
        )

    def stop(self) -> None:
        """End everything."""
        self._systemd.stopping()
        self._nursery.cancel_scope.cancel(reason="a signal said stop")

    async def reload(self) -> None:
        """Read the configuration again: all of it is sound and taken up, or nothing changes."""
        self._systemd.reloading()
        try:
            factory = await trio.to_thread.run_sync(read_again, self._path, self._config)
        except HealthdError as why:
            self._metrics.reload_ok.set(0)
            for line in str(why).splitlines():
                log.error("config_reload_failed", why=line)  # noqa: TRY400 - told in full
        else:
            self._take_up(factory)
            self._metrics.reload_ok.set(1)
            log.info("config_reloaded", nodes=len(self._board))
        self._systemd.ready()

    def _start_services(self) -> None:
        """What runs until the end, beside the tasks of nodes and sources."""
        for service in (self._publishing.run, self._overriding.run, *self._self_watch.services):
            self._nursery.start_soon(service)
        self._nursery.start_soon(
            report,
            self._systemd,
            self._board,
            self._watchers,
            self._self_watch.check,
            self._metrics.clock_jumps.inc,
        )
        self._nursery.start_soon(self._store.run, self._board)
        self._nursery.start_soon(
            accounting.count,
            self._board,
            lambda: self._publishing.publications,
            self._interval,
            self._desk.publication_slot,
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
        return fetch(source, self._factory.panel_tls, etag)

    def _all_judged(self) -> bool:
        """Whether all nodes have had a verdict, those included that sources are to tell."""
        return self._sources.all_known() and self._board.all_judged()

    def _tell_store(self) -> None:
        """What the store must know of the configuration."""
        self._store.config = self._config.store
        ids = [record.node.id for record in self._board]
        self._store.watched_are(ids, self._factory.publication_names, time.time())
        self._store.set_overrides(self._overriding.laid)

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

    def _on_overrides(self, laid: tuple[Override, ...]) -> None:
        self._overriding.take_up(laid)

    async def _keep_overrides(self, laid: tuple[Override, ...]) -> bool:
        self._store.set_overrides(laid)
        return await self._store.flush()

    def _take_up(self, factory: Factory) -> None:
        self._factory, config = factory, factory.config
        logs.configure(config.log)
        self._sources.apply(config.sources)
        self._watchers.apply(self._fleet(), config.probe, config.verdict)
        # A new one even if nothing changed: refused nodes get another chance, the engine may be a
        # newer one. The clients of the old one end with their shift.
        self._prober = self._new_prober()
        self._publishing.apply(factory.publications(), config.gate)
        self._overriding.apply()
        self._self_watch.apply(factory.direct_check(), self._interval(), factory.directories)
        self._tell_store()
        self._metrics.engines_are(factory.ground.engines)
        self._metrics.announce(*self._factory.publication_names)
