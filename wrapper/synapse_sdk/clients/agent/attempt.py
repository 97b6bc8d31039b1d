"""One attempt to send a request, as the flow above and the network below know it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse_sdk.clients.agent.network import Line

ATTEMPT = "synapse_attempt"
"""The extension of a request that carries its attempt down to the network."""


class Attempt:
    """One attempt to send a request: until when, and what became of it on the network.

    Args:
        deadline: When the call's total time is up, by `time.monotonic()`, or None.
        connect: Seconds for connecting, which bound the talk with a proxy too.
    """

    __slots__ = ("connect", "deadline", "line", "reused", "sent", "sent_at", "watched")

    def __init__(self, deadline: float | None = None, connect: float | None = None) -> None:
        self.deadline = deadline
        self.connect = connect
        self.watched = False
        """Whether a transport of this SDK carries it, so that `sent` is known."""
        self.reused = False
        """Whether it went over a connection that had been idle."""
        self.sent = False
        """Whether a byte of the request itself, and not of a proxy's CONNECT, may have reached the agent."""
        self.sent_at = time.monotonic()
        """When its last byte left, or where nobody watches it, when it was begun."""
        self.line: Line | None = None
        """The connection that carries it, for as long as it does."""

    def abort(self) -> None:
        """End it from another thread: a wait of its connection ends at once, and no other begins."""
        self.deadline = 0.0
        line = self.line
        if line is not None:
            line.end(self)

    def cut(self, timeout: float | None, error: type[Exception]) -> float | None:
        """`timeout`, or what is left of the total time where that is less.

        Raises:
            error: If nothing is left.
        """
        if self.deadline is None:
            return timeout
        left = self.deadline - time.monotonic()
        if left <= 0:
            msg = "the call's total time is up"
            raise error(msg)
        return left if timeout is None or left < timeout else timeout

    def cut_read(self, timeout: float | None, error: type[Exception]) -> float | None:
        """As `cut`; before the request was sent it is a proxy that is waited for, as if it were connecting."""
        if not self.sent and self.connect is not None:
            timeout = self.connect if timeout is None else min(timeout, self.connect)
        return self.cut(timeout, error)
