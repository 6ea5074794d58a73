"""/metrics, /healthz, /readyz and the read-only API. Shows nothing secret."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trio
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from healthd import __version__
from healthd.model import Health
from healthd.observing.metrics import Metrics
from healthd.probing.selfcheck import Fault
from healthd.publishing.publisher import Publication
from healthd.publishing.service import PublishingService
from healthd.serving import sources
from healthd.serving.control import shown
from healthd.serving.words import utc
from healthd.sourcing.status import Status
from healthd.verdict.board import Board, Record


@dataclass(frozen=True, slots=True)
class Surface:
    """What the HTTP surface shows.

    Args:
        board: The nodes.
        metrics: What /metrics renders.
        publishing: The publishing service.
        stalled: Gives nodes whose task is stuck.
        faults: Gives what the monitor lacks, by kind, in words.
        store_problem: Gives what is wrong with the database, in words.
        sources: Gives how the sources are.
    """

    board: Board
    metrics: Metrics
    publishing: PublishingService
    stalled: Callable[[], Sequence[str]]
    faults: Callable[[], Mapping[Fault, str]]
    store_problem: Callable[[], str | None]
    sources: Callable[[], Sequence[Status]]

    def application(self) -> Starlette:
        """The application to serve."""
        return Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/healthz", self._health),
                Route("/readyz", self._readiness),
                Route("/api/v1/status", self._status),
            ]
        )

    async def _metrics(self, _: Request) -> Response:
        # In a thread: rendering thousands of nodes takes longer than the loop may stand still.
        text = await trio.to_thread.run_sync(self.metrics.render)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def _health(self, _: Request) -> Response:
        if stuck := self.stalled():
            return PlainTextResponse(f"stalled: {len(stuck)} nodes, {stuck[0]} first\n", 503)
        return PlainTextResponse("ok\n")

    async def _readiness(self, _: Request) -> Response:
        if waiting := sum(not record.judged for record in self.board):
            text = f"waiting for the first verdict of {waiting} of {len(self.board)} nodes\n"
            return PlainTextResponse(text, 503)
        return PlainTextResponse("ready\n")

    async def _status(self, _: Request) -> Response:
        publications = self.publishing.publications
        served = {node for each in publications if each.published for node in each.published.nodes}
        return JSONResponse(
            {
                "version": __version__,
                "self_check_ok": not self.faults(),
                "self_check_faults": dict(self.faults()),
                "store_problem": self.store_problem(),
                "nodes": [_node(record, record.node.id in served) for record in self.board],
                "publications": [_publication(self.publishing, each) for each in publications],
                "sources": [sources.shown(each) for each in self.sources()],
            }
        )


def _node(record: Record, published: bool) -> dict[str, Any]:
    state, result = record.state, record.result
    return {
        "id": record.node.id,
        "name": record.node.name,
        "role": record.node.role,
        "tags": sorted(record.node.tags),
        "address": record.node.endpoint.address,
        "port": record.node.endpoint.port,
        "health": state.health,
        "since": utc(record.changed),
        "reason": None if state.health is Health.UP else state.reason,
        "evidence": record.evidence,
        "admin": record.admin,
        "override": shown(record.override) if record.override else None,
        "slow": record.speed.slow,
        "latency_ms": None if record.latency is None else round(record.latency * 1000, 1),
        "last_probe": utc(record.last_probe),
        "last_success": utc(record.last_good),
        "last_result": None
        if result is None
        else {"outcome": result.outcome, "reason": result.reason, "detail": result.detail},
        "published": published,
    }


def _publication(service: PublishingService, publication: Publication) -> dict[str, Any]:
    name = publication.config.name
    decision, served = service.decisions.get(name), publication.published
    return {
        "name": name,
        "directory": str(publication.config.directory),
        "mode": decision.mode if decision else "waiting",
        "summary": decision.summary if decision else "",
        "held": list(decision.held) if decision else [],
        "generation": served.generation if served else 0,
        "published_at": utc(served.published_at) if served else None,
        "nodes": list(served.nodes) if served else [],
        "why": dict(decision.why) if decision else {},
        "left_out": publication.notes.left_out,
        "not_written": publication.notes.not_written,
    }
