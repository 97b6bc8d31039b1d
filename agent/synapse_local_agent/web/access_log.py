"""The access log: one line per request, without secrets and without the query."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("synapse_local_agent.access")
JOB = "synapse_local_agent.job_id"
"""The key under which an endpoint stores the job id in the scope."""
SHOWN_CHARACTERS = 200


def logged(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that its requests are logged."""

    async def on_request(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def on_response(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await app(scope, receive, on_response)
        finally:
            LOG.info("%s", line(scope, status, time.perf_counter() - started))

    return on_request


def line(scope: Scope, status: int, seconds: float) -> str:
    """Format the log line of a request.

    Strings from the caller are escaped to ASCII without line breaks, so they cannot forge log lines.

    Example:
        >>> line({"method": "GET", "raw_path": b"/health/", JOB: None}, 200, 0.0012)
        'GET /health/ 200 1.2 ms'
        >>> line({"method": "POST", "raw_path": b"/plugin_releases/1/run/", JOB: "nightly 7"}, 200, 0.25)
        'POST /plugin_releases/1/run/ 200 250.0 ms job "nightly 7"'
    """
    path = scope["raw_path"][:SHOWN_CHARACTERS].decode("ascii", "backslashreplace")
    text = f"{scope['method']} {path} {status} {seconds * 1000:.1f} ms"
    job = scope.get(JOB)
    return f"{text} job {json.dumps(job[:SHOWN_CHARACTERS])}" if isinstance(job, str) else text
