"""The faults of the package under the names that these tests use, and answers of an agent that is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse_sdk.testing import faults
from synapse_sdk.testing.faults import body, drip, head, raw, reply, then
from synapse_sdk.testing.server import FaultServer, Received

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from synapse_sdk.testing.server import Answer

__all__ = ["FaultServer", "Received", "RoutedServer", "body", "drip", "head", "raw", "reply", "then"]

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
    """A page of releases."""
    return {"count": count, "next": following, "previous": previous, "results": results}


class RoutedServer(FaultServer):
    """A server whose answer may depend on the request, for requests that come in any order."""

    route: Callable[[Received], Answer] | None = None
    """Gives the answer to a request, in place of `answers`."""

    def respond(self, connection: socket.socket, request: Received) -> bool:
        """Remember a request, answer it, and say whether the connection stays open."""
        if self.route is None:
            return super().respond(connection, request)
        with self._lock:
            self.requests.append(request)
            answer = self.route(request)
        return answer(connection)
