"""Faults under the names these tests use, and responses of a healthy agent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from synapse_agent_sdk import RetryPolicy
from synapse_agent_sdk.testing import faults
from synapse_agent_sdk.testing.faults import body, drip, head, raw, reply, then
from synapse_agent_sdk.testing.server import Answer, FaultServer, Received

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["Answer", "FaultServer", "Received", "RoutedServer", "body", "drip", "head", "raw", "reply", "then"]

FAST = RetryPolicy(backoff=0.001, reconnect=60)
"""Retries immediately, and allows for a slow machine."""
SECONDS = 60
"""Upper bound on waiting for an expected event."""
CALLS: dict[str, tuple[Any, ...]] = {
    "health_check": (),
    "list_plugin_releases": (),
    "create_plugin_release": ("ocr_plugin", "2.0.0"),
    "get_plugin_release": (7,),
    "delete_plugin_release": (7,),
    "run_plugin_release": (7, "train"),
    "run_debug_plugin_release": ("train",),
}
"""Each operation with its minimum arguments."""
RUNS = [name for name in CALLS if name.startswith("run")]
RELEASE = {"id": 7, "plugin": "ocr_plugin", "version": "2.0.0"}
hang_up, reset, silence = faults.disconnect(), faults.reset(), faults.no_answer()
BROKEN: dict[str, Answer] = {
    "closed": hang_up,
    "reset": reset,
    "reset in the headers": then(raw(b"HTTP/1.1 200 OK\r\nContent-Le", keep=True), reset),
    "cut in the headers": faults.cut_headers(),
    "cut in the body": raw(head(200, {"Content-Length": "100"}) + b'{"id"'),
    "broken chunk": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\n"),
    "cut chunk": raw(head(200, {"Transfer-Encoding": "chunked"}) + b"10\r\n{"),
    "garbage": faults.garbage(),
}
BUSY = {str(status): faults.status(status, "busy") for status in (502, 503, 504)}


def page(results: list[Any], count: int, following: str | None = None, previous: str | None = None) -> dict[str, Any]:
    """Build a page of releases."""
    return {"count": count, "next": following, "previous": previous, "results": results}


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition to become true."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.001)


class RoutedServer(FaultServer):
    """A server that can choose its response by request, for requests in any order."""

    route: Callable[[Received], Answer] | None = None
    """Returns the response to a request; overrides `answers`."""

    def respond(self, connection: socket.socket, request: Received) -> bool:
        """Record a request, respond to it, and return whether the connection stays open."""
        if self.route is None:
            return super().respond(connection, request)
        with self._lock:
            self.requests.append(request)
            answer = self.route(request)
        return answer(connection)
