"""What may be sent again, and when. Pure: a reader can check the whole policy here.

| what became of the request           | `GET`, `DELETE`, create | run, debug run                        |
| ------------------------------------ | ----------------------- | ------------------------------------- |
| not sent: no byte of it left         | again, for a time       | again, for a time                     |
| rejected: 429                        | again                   | again                                 |
| unknown: broken, late, 502, 503, 504 | again                   | never, unless the policy replays runs |
| final: any other response            | never                   | never                                 |
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
    """How often, and for how long, a call is sent again.

    Args:
        attempts: How often a request is sent at the most, not counting attempts of which no byte left.
        total: Seconds for the whole call with all its attempts and waits. Where left out: `attempts` times connect
            and read timeout, at most 30 s, but never less than `reconnect` and one attempt need. Runs have none,
            but for the timeout given at the call.
        reconnect: Seconds for which an agent that cannot be reached is tried again.
        backoff: Seconds before the second attempt, which double with each further one; half of it is random.
        max_backoff: Seconds at which they stop to double.
        max_retry_after: Seconds at which a `Retry-After` is cut.
        replay_runs: Whether the agent honours `Idempotency-Key`, so that runs are sent again as other calls are.

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
            msg = f"attempts must be a whole number, 1 or more, not {self.attempts!r:.100}"
            raise ValueError(msg)
        for name in ("total", "reconnect", "backoff", "max_backoff", "max_retry_after"):
            value = getattr(self, name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (is_number and 0 <= value <= LONGEST_SECONDS) and not (name == "total" and value is None):
                msg = f"{name} must be a number of seconds from 0 to {LONGEST_SECONDS}, not {value!r:.100}"
                raise ValueError(msg)


NEVER = RetryPolicy(attempts=1, reconnect=0)
"""What `retry=None` stands for."""


class Delivery(Enum):
    """What became of a request, as far as the client can know."""

    NOT_SENT = "not sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    FINAL = "final"


def delivery_of_failure(failure: Exception, attempt: Attempt) -> Delivery:
    """What became of a request that ended in an exception of httpx."""
    if isinstance(failure, httpx.PoolTimeout | httpx.LocalProtocolError | httpx.UnsupportedProtocol):
        return Delivery.FINAL  # it waited long enough, or it would fail in the same way again
    if not isinstance(failure, httpx.TransportError) or _is_untrusted_certificate(failure):
        return Delivery.FINAL
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        return Delivery.NOT_SENT
    return Delivery.NOT_SENT if attempt.watched and not attempt.sent else Delivery.UNKNOWN


def delivery_of_status(status: int, error_type: str | None) -> Delivery:
    """What became of a request that was answered with an error; an `error_type` says what became of an action."""
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
    """How long to wait before the next attempt, or None where there must be none.

    Args:
        policy: The client's policy.
        delivery: What became of the last attempt.
        replayable: Whether the call may be carried out twice.
        tries: How many attempts there were, the last one included.
        attempts: How many of them left this machine.
        unreached: For how many seconds the agent could not be reached.
        left: Seconds of the call's total time that are left, or None where it has no bound.
        retry_after: What the answer asked for, in seconds.
        random: A random number from 0 to 1.

    Returns:
        Seconds. A wait that does not fit into what is left is not begun.
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
    """How long a replayable call may take with all its attempts and waits, or None if there is no bound."""
    if policy.total is not None:
        return policy.total
    if timeout.connect is None or timeout.read is None:
        return None
    once = timeout.connect + timeout.read
    # One attempt always fits, after an agent that restarts was waited for.
    return max(min(policy.attempts * once, MAX_DEFAULT_TOTAL), policy.reconnect + once)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """A `Retry-After` header in seconds from now (RFC 9110, section 10.2.3), or None where it is none.

    Example:
        >>> parse_retry_after("120"), parse_retry_after("-1"), parse_retry_after("soon")
        (120.0, None, None)
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value.lstrip("0")[:12] or 0)  # a thousand years do as well as more
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _is_untrusted_certificate(failure: BaseException) -> bool:
    """Whether a connection failed on the agent's certificate, which no further attempt changes."""
    seen: BaseException | None = failure
    while seen is not None:
        if type(seen).__name__ == "SSLCertVerificationError":
            return True
        seen = seen.__cause__ or seen.__context__
    return False
