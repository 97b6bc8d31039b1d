"""uvicorn's HTTP protocol with a timeout for clients that do not finish their requests.

uvicorn limits the time between two requests, but not the time of one: a client that sends a byte now and then keeps its
connection, and its file descriptor, forever.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

HEADER_SECONDS = 10.0
"""From the connection, or the first byte of the next request, to the end of the headers."""
BODY_SECONDS = 300.0
"""From the headers to the end of the body."""
LINGER_SECONDS = 5.0
"""From an early response to the end of the request body, which is discarded: closing the connection while the client
is still sending may lose the response."""


class PatientProtocol(H11Protocol):
    """A connection that is dropped if its client does not finish a request in time."""

    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS
    linger_seconds = LINGER_SECONDS
    _timer: asyncio.TimerHandle | None = None
    _timeout: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Handle the data, and wait for the rest of the request."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the rest of the request, or for the next one; uvicorn has a timeout for its first byte."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._stop()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Reject a request that is not valid HTTP, with the same body as other errors."""
        body = json.dumps({"detail": msg}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Start the timeout of what is missing, unless it is already running."""
        seconds = self._seconds()
        if seconds != self._timeout:
            self._stop()
            self._timeout = seconds
            if seconds is not None:
                self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _seconds(self) -> float | None:
        """The timeout for the unfinished part of the request, or None if it is complete."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.body_seconds if self.conn.our_state is h11.SEND_RESPONSE else self.linger_seconds
        is_request_begun = self.cycle is None or self.conn.trailing_data[0]
        return self.header_seconds if self.conn.their_state is h11.IDLE and is_request_begun else None

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
