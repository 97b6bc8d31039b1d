"""One attempt to send a request, shared by the exchange and the network layer."""

from __future__ import annotations

from dataclasses import dataclass

ATTEMPT = "synapse_attempt"
"""Request extension that passes the attempt to the network layer."""


@dataclass(slots=True)
class Attempt:
    """One attempt to send a request: its deadline and its progress on the network."""

    deadline: float | None = None
    """The call's deadline, in terms of `time.monotonic()`."""
    connect: float | None = None
    """Connect timeout in seconds; also limits the exchange with a proxy."""
    watched: bool = False
    """Whether the SDK's own transport sends it, so that `sent` is reliable."""
    reused: bool = False
    """Whether it reused an idle connection."""
    sent: bool = False
    """Whether any byte of the request, other than a proxy's CONNECT, may have reached the agent."""
