"""/metrics, /healthz, /readyz and the read-only API. Shows nothing secret."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
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
from healthd.publishing.publisher import Publication
from healthd.publishing.service import PublishingService
from healthd.verdict.board import Board, Record


def build(
    board: Board,
    metrics: Metrics,
    publishing: Callable[[], PublishingService],
    stalled: Callable[[], Sequence[str]],
    self_check_ok: Callable[[], bool],
) -> Starlette:
    """The application.

    Args:
        board: The nodes.
        metrics: What /metrics renders.
        publishing: Gives the publishing service in force.
        stalled: Gives nodes whose task is stuck.
        self_check_ok: Gives the latest answer about the monitor's own line.
    """

    async def show_metrics(_: Request) -> Response:
        # In a thread: rendering thousands of nodes takes longer than the loop may stand still.
        return Response(
            await trio.to_thread.run_sync(metrics.render), media_type=CONTENT_TYPE_LATEST
        )

    async def show_health(_: Request) -> Response:
        stuck = stalled()
        if stuck:
            return PlainTextResponse(f"stalled: {len(stuck)} nodes, {stuck[0]} first\n", 503)
        return PlainTextResponse("ok\n")

    async def show_readiness(_: Request) -> Response:
        waiting = sum(not record.judged for record in board)
        if waiting:
            text = f"waiting for the first verdict of {waiting} of {len(board)} nodes\n"
            return PlainTextResponse(text, 503)
        return PlainTextResponse("ready\n")

    async def show_status(_: Request) -> Response:
        service = publishing()
        served = {
            node
            for publication in service.publications
            if publication.published
            for node in publication.published.nodes
        }
        return JSONResponse(
            {
                "version": __version__,
                "self_check_ok": self_check_ok(),
                "nodes": [_node(record, record.node.id in served) for record in board],
                "publications": [_publication(service, each) for each in service.publications],
            }
        )

    return Starlette(
        routes=[
            Route("/metrics", show_metrics),
            Route("/healthz", show_health),
            Route("/readyz", show_readiness),
            Route("/api/v1/status", show_status),
        ]
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
        "since": _time(record.changed),
        "reason": None if state.health is Health.UP else state.reason,
        "evidence": record.evidence,
        "latency_ms": None if record.latency is None else round(record.latency * 1000, 1),
        "last_probe": _time(record.last_probe),
        "last_success": _time(record.last_good),
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
        "generation": served.generation if served else 0,
        "published_at": _time(served.published_at) if served else None,
        "nodes": list(served.nodes) if served else [],
        "why": dict(decision.why) if decision else {},
    }


def _time(wall: float | None) -> str | None:
    if wall is None:
        return None
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
