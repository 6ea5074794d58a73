"""What a reload makes anew: everything that a configuration and its machine alone determine."""

import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from healthd.config import Config
from healthd.desk import bulk_server_judged
from healthd.engines.dialect import EngineName
from healthd.engines.program import Programs, programs
from healthd.engines.tunnels import Tunnels
from healthd.model import Node
from healthd.probing.check_tls import check_tls
from healthd.probing.direct import DirectCheck
from healthd.probing.prober import Prober
from healthd.probing.selfwatch import SelfWatch
from healthd.publishing.publisher import Clocks, Publication
from healthd.publishing.verifying import asker
from healthd.startup import Ground


class Factory:
    """Makes parts of the daemon as one configuration wants them; a reload brings another factory.

    Args:
        config: What the file says.
        ground: What was found for it on this machine.
    """

    def __init__(self, config: Config, ground: Ground) -> None:
        self.config = config
        self.ground = ground
        self.panel_tls = _panel_tls(config, ground)
        """What verifies sources."""

    @property
    def owner(self) -> str:
        """The mark of our children; see :func:`healthd.engines.process.sweep`."""
        return str(self.config.paths.state.resolve())

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where the publications lie."""
        return tuple(table.directory for table in self.config.publish)

    @property
    def publication_names(self) -> tuple[str, ...]:
        """What the publications are called."""
        return tuple(table.name for table in self.config.publish)

    def direct_check(self) -> DirectCheck:
        """The check URLs, asked without an engine."""
        probe, urls = self.config.probe, self.config.self_check_urls
        return DirectCheck(urls, probe.expect_status, probe.deadline, self.ground.tls)

    def tunnels(
        self,
        nursery: trio.Nursery,
        shift_mates: Callable[[Node], Iterable[Node]],
        on_start: Callable[[EngineName, str], None],
    ) -> Tunnels:
        """The shared clients; the arguments are those of :class:`Tunnels`."""
        probe = self.config.probe
        return Tunnels(
            self._programs(),
            nursery,
            hysteria2=self.config.engines.hysteria2,
            shift_mates=shift_mates,
            shift=probe.shift_length,
            max_clients=probe.max_clients,
            shift_clients=probe.shift_clients,
            on_start=on_start,
        )

    def prober(self, tunnels: Tunnels, watch: SelfWatch) -> Prober:
        """The prober of these tunnels, which tells and asks ``watch`` whether it can be trusted."""
        probe = self.config.probe
        return Prober(
            tunnels,
            urls=probe.urls,
            self_check_urls=self.config.self_check_urls,
            expect_status=probe.expect_status,
            deadline=probe.deadline,
            tls=self.ground.tls,
            on_control=watch.check.note_control,
            loop_late=watch.loop.late_since,
            short_of=watch.resources.short_of,
            line_bad=watch.check.line_was_bad,
            bulk_url=probe.bulk_url,
            bulk_bytes=probe.bulk_bytes,
            on_bulk_server=bulk_server_judged,
        )

    def publications(self) -> list[Publication]:
        """The publications, with what each has published before; blocks."""
        ask = asker(self._programs(), self.ground.engines.get(EngineName.SING_BOX))
        clocks = Clocks(time.time, trio.current_time)
        url, status = self.config.probe.urls[0], self.config.probe.expect_status
        made = [
            Publication(table, url, ask, clocks, status, self.ground.users)
            for table in self.config.publish
        ]
        for publication in made:
            publication.load()
        return made

    def _programs(self) -> Programs:
        """The engines that were found, as this daemon starts them."""
        return programs(self.ground.engines, owner=self.owner, ca_file=self.config.engines.ca_file)


def _panel_tls(config: Config, ground: Ground) -> ssl.SSLContext:
    """The system's authorities, whatever else the check URLs need."""
    if config.probe.ca_file is None:
        return ground.tls
    tls = check_tls(None)
    tls.load_verify_locations(config.probe.ca_file)
    return tls
