"""Serving an application on a socket that was bound beforehand, with hypercorn on trio."""

import socket
from typing import cast

import hypercorn.trio
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.typing import Framework
from starlette.applications import Starlette


async def serve(
    app: Starlette,
    listener: socket.socket,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests until cancelled; says so once it does.

    The socket is bound by the caller, before anything else starts: that the address is free is a
    question of configuration, with an answer of its own. It is taken over and closed at the end.
    """
    config = HypercornConfig()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.5
    await hypercorn.trio.serve(cast("Framework", app), config, task_status=task_status)
