"""The control socket: what changes something. HTTP on a unix socket, for the operator's group.

Who may write to the socket may do all of this; the socket's mode is the whole of it. The author is
what the command line says: a note for colleagues, not a proof.
"""

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from healthd.errors import OverrideError
from healthd.model import AdminMode
from healthd.overriding import Applied, Overriding
from healthd.serving.words import read_body, utc
from healthd.verdict import overrides
from healthd.verdict.overrides import Override


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pattern: str = Field(min_length=1, max_length=200)
    author: str = Field(min_length=1, max_length=100)
    reason: str = Field("", max_length=500)


class _Lay(_Asked):
    mode: AdminMode
    seconds: float | None = None
    allow_below_floor: bool = False


Body = TypeVar("Body", bound=_Asked)


@dataclass(frozen=True, slots=True)
class Control:
    """What the control socket offers.

    Args:
        overriding: The overrides in force.
        wall: The wall clock.
        more: What else it offers.
    """

    overriding: Overriding
    wall: Callable[[], float] = time.time
    more: Sequence[Route] = ()

    def application(self) -> Starlette:
        """The application to serve."""
        return Starlette(
            routes=[
                Route("/api/v1/overrides", self._list, methods=["GET"]),
                Route("/api/v1/overrides", self._lay, methods=["POST"]),
                Route("/api/v1/resume", self._resume, methods=["POST"]),
                *self.more,
            ]
        )

    async def _list(self, _: Request) -> Response:
        return JSONResponse([shown(each) for each in self.overriding.laid])

    async def _lay(self, request: Request) -> Response:
        async def act(asked: _Lay) -> Applied:
            new = Override(
                pattern=asked.pattern,
                mode=asked.mode,
                reason=asked.reason,
                author=asked.author,
                created=self.wall(),
                expires=overrides.expiry(asked.mode, asked.seconds, self.wall()),
            )
            return await self.overriding.lay(new, allow_below_floor=asked.allow_below_floor)

        return await _answer(request, _Lay, act)

    async def _resume(self, request: Request) -> Response:
        async def act(asked: _Asked) -> Applied:
            lift = Override(
                pattern=asked.pattern,
                mode=AdminMode.ENABLED,
                reason=asked.reason or "resumed",
                author=asked.author,
                created=self.wall(),
            )
            return await self.overriding.resume(lift)

        return await _answer(request, _Asked, act)


async def _answer(
    request: Request, form: type[Body], act: Callable[[Body], Awaitable[Applied]]
) -> Response:
    """Read the body, act, and answer; what is refused is told in words."""
    try:
        asked = form.model_validate(json.loads(await read_body(request)))
        applied = await act(asked)
    except ValidationError as why:
        words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in why.errors())
        return JSONResponse({"error": words}, 400)
    except OverrideError as why:
        return JSONResponse({"error": str(why)}, 409 if why.below_floor else 404)
    except ValueError as why:
        return JSONResponse({"error": str(why)}, 400)
    return JSONResponse(
        {
            "nodes": list(applied.nodes),
            "override": shown(applied.override),
            "kept": applied.kept,
        }
    )


def shown(override: Override) -> dict[str, Any]:
    """An override for the API."""
    return {
        "pattern": override.pattern,
        "mode": override.mode,
        "reason": override.reason,
        "author": override.author,
        "created": utc(override.created),
        "expires": utc(override.expires),
    }
