"""The retry policy: what is retried, and when. Pure.

| delivery of the request                            | `GET`, `DELETE`, create | run, debug run              |
| -------------------------------------------------- | ----------------------- | --------------------------- |
| not sent: no byte was sent                         | retry for `reconnect` s | retry for `reconnect` s     |
| rejected: 429                                      | retry                   | retry                       |
| unknown: broken connection, timeout, 502, 503, 504 | retry                   | retry only if `replay_runs` |
| final: any other response                          | never                   | never                       |
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING

import httpx

from synapse_agent_sdk.runtime.options import LONGEST_SECONDS

if TYPE_CHECKING:
    from synapse_agent_sdk.runtime.transport.attempt import Attempt

MAX_DEFAULT_TOTAL = 30.0
REJECTED = frozenset({429})
UNKNOWN = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long a request is retried.

    Args:
        attempts: Maximum number of attempts, not counting those of which no byte was sent.
        total: Seconds for the whole call, with all attempts and waits. Defaults to `attempts` times the connect plus
            read timeout, at most 30 s, but at least `reconnect` plus one attempt. Runs have no total timeout, unless
            the call sets one.
        reconnect: Seconds to keep trying an unreachable agent.
        backoff: Seconds before the second attempt; doubles with each attempt, with 50% jitter.
        max_backoff: Maximum backoff in seconds.
        max_retry_after: Maximum seconds to wait for a `Retry-After`.
        replay_runs: Whether to retry runs like other requests; set it if the agent honours `Idempotency-Key`.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> RetryPolicy(attempts=5, replay_runs=True).reconnect
        3.0
    """

    attempts: int = 3
    total: float | None = None
    reconnect: float = 3.0
    backoff: float = 0.1
    max_backoff: float = 2.0
    max_retry_after: float = 30.0
    replay_runs: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool) or self.attempts < 1:
            msg = f"attempts must be an integer of at least 1, not {self.attempts!r:.100}"
            raise ValueError(msg)
        for name in ("total", "reconnect", "backoff", "max_backoff", "max_retry_after"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and 0 <= value <= LONGEST_SECONDS) and not (name == "total" and value is None):
                msg = f"{name} must be a number of seconds from 0 to {LONGEST_SECONDS}, not {value!r:.100}"
                raise ValueError(msg)


NEVER = RetryPolicy(attempts=1, reconnect=0)
"""The policy for `retry=None`."""


class Delivery(Enum):
    """The outcome of a request, as far as the client knows."""

    NOT_SENT = "not sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    FINAL = "final"


def delivery_of_failure(failure: Exception, attempt: Attempt) -> Delivery:
    """The delivery of a request that raised an httpx exception."""
    if isinstance(failure, httpx.PoolTimeout | httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return Delivery.FINAL  # a retry would fail in the same way
    if not isinstance(failure, httpx.TransportError) or _is_untrusted_certificate(failure):
        return Delivery.FINAL
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Delivery.NOT_SENT
    return Delivery.NOT_SENT if attempt.watched and not attempt.sent else Delivery.UNKNOWN


def delivery_of_status(status: int, error_type: str | None) -> Delivery:
    """The delivery of a request with an error response; some values of `error_type` make it final."""
    if status in REJECTED:
        return Delivery.REJECTED
    tells = error_type is not None and (error_type.startswith("action_") or error_type == "gpu_unavailable")
    return Delivery.UNKNOWN if status in UNKNOWN and not tells else Delivery.FINAL


def wait_before_next(
    policy: RetryPolicy,
    delivery: Delivery,
    *,
    replayable: bool,
    tries: int,
    attempts: int,
    unreached: float,
    left: float | None,
    retry_after: float | None,
    random: float,
) -> float | None:
    """Seconds to wait before the next attempt, or None to give up.

    Args:
        policy: The client's policy.
        delivery: Delivery of the last attempt.
        replayable: Whether the request is safe to retry.
        tries: Number of attempts so far.
        attempts: Number of attempts that were sent.
        unreached: Seconds since the agent became unreachable.
        left: Seconds until the deadline, or None without one.
        retry_after: The response's `Retry-After`, in seconds.
        random: A random number from 0 to 1.

    Returns:
        Seconds, or None. A wait past the deadline is not started.
    """
    backoff = min(policy.backoff * 2.0 ** min(tries - 1, 60), policy.max_backoff) * (0.5 + random / 2)
    if delivery is Delivery.NOT_SENT:
        if unreached >= policy.reconnect:
            return None
        wait = min(backoff, policy.reconnect - unreached)
    elif (
        attempts >= policy.attempts
        or delivery is Delivery.FINAL
        or (delivery is Delivery.UNKNOWN and not replayable and not policy.replay_runs)
    ):
        return None
    else:
        wait = max(backoff, min(retry_after or 0.0, policy.max_retry_after))
    return wait if left is None or wait < left else None


def total_seconds(policy: RetryPolicy, timeout: httpx.Timeout) -> float | None:
    """Total timeout of a replayable request, with all attempts and waits, or None."""
    if policy.total is not None:
        return policy.total
    if timeout.connect is None or timeout.read is None:
        return None
    once = timeout.connect + timeout.read
    # One attempt always fits after waiting for an agent that restarts.
    return max(min(policy.attempts * once, MAX_DEFAULT_TOTAL), policy.reconnect + once)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from now of a `Retry-After` header (RFC 9110, section 10.2.3), or None if it is invalid.

    Example:
        >>> parse_retry_after("120"), parse_retry_after("-1"), parse_retry_after("soon")
        (120.0, None, None)
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value.lstrip("0")[:12] or 0)  # caps absurdly long waits
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _is_untrusted_certificate(failure: BaseException) -> bool:
    """Whether the agent's certificate is not trusted; a retry would not help."""
    seen: BaseException | None = failure
    while seen is not None:
        if type(seen).__name__ == "SSLCertVerificationError":
            return True
        seen = seen.__cause__ or seen.__context__
    return False
