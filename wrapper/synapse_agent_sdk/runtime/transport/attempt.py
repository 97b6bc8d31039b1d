"""One attempt to send a request, as the exchange above and the network below know it."""

from __future__ import annotations

from dataclasses import dataclass

ATTEMPT = "synapse_attempt"
"""The extension of a request that carries its attempt down to the network."""


@dataclass(slots=True)
class Attempt:
    """One attempt to send a request: until when, and what became of it on the network."""

    deadline: float | None = None
    """When the call's total time is up, by `time.monotonic()`."""
    connect: float | None = None
    """Seconds for connecting, which bound the talk with a proxy too."""
    watched: bool = False
    """Whether a transport of this SDK carries it, so that `sent` is known."""
    reused: bool = False
    """Whether it went over a connection that had been idle."""
    sent: bool = False
    """Whether a byte of the request itself, and not of a proxy's CONNECT, may have reached the agent."""
