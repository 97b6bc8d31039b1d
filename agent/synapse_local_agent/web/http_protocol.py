"""HTTP as uvicorn speaks it, with an end to the patience for clients that do not finish what they send.

uvicorn bounds the time between two requests, but not the time of one: a client that sends a byte now and then keeps its
connection, and its file descriptor, for as long as it likes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

HEADER_SECONDS = 10.0
"""From the connection, or the first byte of a further request, to the end of the headers."""
BODY_SECONDS = 300.0
"""From the headers to the end of the body."""
LINGER_SECONDS = 5.0
"""From an answer that did not wait for the body to the end of the body, which is thrown away: a connection that is
closed while its client still sends may lose the answer."""


class PatientProtocol(H11Protocol):
    """A connection that is dropped when its client leaves a request unfinished for too long."""

    header_seconds = HEADER_SECONDS
    body_seconds = BODY_SECONDS
    linger_seconds = LINGER_SECONDS
    _patience: asyncio.TimerHandle | None = None
    _waited: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what arrived, and wait for the rest of it."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the rest of the request, or for a further one, whose first byte uvicorn itself waits for."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of every other error."""
        body = json.dumps({"detail": msg}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch(self) -> None:
        """Wait for what is missing; what was waited for already is given no more time."""
        seconds = self._seconds()
        if seconds != self._waited:
            self._stop()
            self._waited = seconds
            if seconds is not None:
                self._patience = self.loop.call_later(seconds, self.transport.abort)

    def _seconds(self) -> float | None:
        """How long to wait for what the client has not sent whole, or None where it owes nothing."""
        if self.conn.their_state is h11.SEND_BODY:
            return self.body_seconds if self.conn.our_state is h11.SEND_RESPONSE else self.linger_seconds
        is_request_begun = self.cycle is None or self.conn.trailing_data[0]
        return self.header_seconds if self.conn.their_state is h11.IDLE and is_request_begun else None

    def _stop(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
