"""Sources on the API: how they are, and the operator's word that a refused answer is meant."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from healthd.errors import SourceError
from healthd.serving.words import read_body, utc
from healthd.sourcing.status import Status

Accept = Callable[[str, str], Awaitable[tuple[int, int]]]
"""Takes a source's refused answer, for an author; gives its nodes before and now."""


class _Accept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    author: str = Field(min_length=1, max_length=100)


def shown(status: Status) -> dict[str, Any]:
    """A source for the API."""
    return {
        "name": status.name,
        "where": status.where,
        "ok": status.ok,
        "why": status.why,
        "nodes": status.nodes,
        "last_success": utc(status.last_success),
        "entries": dict(status.entries),
        "problems": [{"where": each.where, "why": each.why} for each in status.left_out],
        "fetches": dict(status.fetches),
        "acceptable": status.acceptable,
    }


def routes(accept: Accept) -> list[Route]:
    """What the control socket offers for sources."""

    async def take(request: Request) -> Response:
        try:
            asked = _Accept.model_validate(json.loads(await read_body(request)))
            before, now = await accept(asked.name, asked.author)
        except SourceError as why:
            return JSONResponse({"error": str(why)}, 409)
        except ValidationError as why:
            words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in why.errors())
            return JSONResponse({"error": words}, 400)
        except ValueError as why:
            return JSONResponse({"error": str(why)}, 400)
        return JSONResponse({"name": asked.name, "nodes_before": before, "nodes": now})

    return [Route("/api/v1/sources/accept", take, methods=["POST"])]
