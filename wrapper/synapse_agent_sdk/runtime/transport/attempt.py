"""One attempt to send a request, as the flow above and the network below know it."""

from __future__ import annotations

import time

ATTEMPT = "synapse_attempt"
"""The extension of a request that carries its attempt down to the network."""


class Attempt:
    """One attempt to send a request: until when, and what became of it on the network.

    Args:
        deadline: When the call's total time is up, by `time.monotonic()`, or None.
        connect: Seconds for connecting, which bound the talk with a proxy too.
    """

    __slots__ = ("connect", "deadline", "reused", "sent", "watched")

    def __init__(self, deadline: float | None = None, connect: float | None = None) -> None:
        self.deadline = deadline
        self.connect = connect
        self.watched = False
        """Whether a transport of this SDK carries it, so that `sent` is known."""
        self.reused = False
        """Whether it went over a connection that had been idle."""
        self.sent = False
        """Whether a byte of the request itself, and not of a proxy's CONNECT, may have reached the agent."""

    def clamp(self, timeout: float | None, error: type[Exception]) -> float | None:
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

    def clamp_read(self, timeout: float | None, error: type[Exception]) -> float | None:
        """As `clamp`; before the request was sent it is a proxy that is waited for, as if it were connecting."""
        if not self.sent and self.connect is not None:
            timeout = self.connect if timeout is None else min(timeout, self.connect)
        return self.clamp(timeout, error)
