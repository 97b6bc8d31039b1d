"""The retry policy: what is retried, when, and for how long."""

from __future__ import annotations

import dataclasses
import math
import re
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synapse_agent_sdk import RetryPolicy
from synapse_agent_sdk.runtime import retry
from synapse_agent_sdk.runtime.options import LONGEST_SECONDS
from synapse_agent_sdk.runtime.retry import (
    NEVER,
    Delivery,
    delivery_of_failure,
    delivery_of_status,
    parse_retry_after,
    total_seconds,
    wait_before_next,
)
from synapse_agent_sdk.runtime.transport.attempt import Attempt

from tests.unit.helpers import refusal

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def wait(policy: RetryPolicy, delivery: Delivery, **situation: Any) -> float | None:
    """The wait before the next attempt, by default after the first."""
    usual = {"replayable": True, "tries": 1, "attempts": 1, "unreached": 0.0, "left": None, "retry_after": None}
    return wait_before_next(policy, delivery, **{"random": 1.0, **usual, **situation})


def test_the_policy_matches_its_table() -> None:
    """The policy matches the table in the module's docstring, for runs and other requests."""
    rows = [line.strip("| ").split("|") for line in (retry.__doc__ or "").splitlines() if line.startswith("|")]
    says = {row[0].split(":")[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[2:]}
    assert says.keys() == {delivery.value for delivery in Delivery}
    for delivery in Delivery:
        for is_run in (False, True):
            cell = says[delivery.value][is_run]
            again = wait(RetryPolicy(), delivery, replayable=not is_run) is not None
            replayed = wait(RetryPolicy(replay_runs=True), delivery, replayable=not is_run) is not None
            by_time = wait(RetryPolicy(), delivery, replayable=not is_run, attempts=99, tries=99) is not None
            expected = {
                "retry for `reconnect` s": (True, True, True),
                "retry": (True, True, False),
                "retry only if `replay_runs`": (False, True, False),
                "never": (False, False, False),
            }
            assert (again, replayed, by_time) == expected[cell], (delivery, is_run)


def test_only_four_statuses_are_retried() -> None:
    """429 means rejected; 502, 503 and 504 mean unknown, unless the error_type is final."""
    deliveries = {**dict.fromkeys([502, 503, 504], Delivery.UNKNOWN), 429: Delivery.REJECTED}
    for error_type in (None, "maintenance", "gateway_timeout", ""):
        for status in range(300, 1000):
            assert delivery_of_status(status, error_type) is deliveries.get(status, Delivery.FINAL), (
                status,
                error_type,
            )
    for error_type in ("action_failed", "action_timeout", "gpu_unavailable"):
        assert {delivery_of_status(status, error_type) for status in (500, 502, 503, 504)} == {Delivery.FINAL}


def attempt(*, watched: bool = True, sent: bool = False) -> Attempt:
    """An attempt in a given state."""
    made = Attempt()
    made.watched, made.sent = watched, sent
    return made


def test_each_failure_has_a_delivery() -> None:
    """Without a connection or a sent byte, nothing was sent; errors that would recur are final."""
    broken = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError, httpx.ReadTimeout)
    unreached = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
    final = (httpx.PoolTimeout, httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError, ValueError)
    for kinds, sent, unsent, unwatched in (
        (broken, Delivery.UNKNOWN, Delivery.NOT_SENT, Delivery.UNKNOWN),
        (unreached, Delivery.NOT_SENT, Delivery.NOT_SENT, Delivery.NOT_SENT),
        (final, Delivery.FINAL, Delivery.FINAL, Delivery.FINAL),
    ):
        for kind in kinds:
            made = attempt(sent=True), attempt(), attempt(watched=False)
            deliveries = [delivery_of_failure(kind("failed"), each) for each in made]
            assert deliveries == [sent, unsent, unwatched], kind
    untrusted = httpx.ConnectError("certificate verify failed")
    untrusted.__cause__ = OSError()
    untrusted.__cause__.__context__ = ssl.SSLCertVerificationError()
    assert delivery_of_failure(untrusted, attempt()) is Delivery.FINAL


def test_backoff_doubles_up_to_its_cap() -> None:
    """The backoff doubles up to its maximum, with 50% jitter; retry=None never waits."""
    policy = RetryPolicy(attempts=99, backoff=0.1, max_backoff=1)
    waits = [wait(policy, Delivery.UNKNOWN, tries=tries) for tries in range(1, 7)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1])
    assert wait(policy, Delivery.UNKNOWN, random=0.0) == pytest.approx(0.05)
    assert wait(policy, Delivery.UNKNOWN, tries=10**9) == 1
    assert [wait(NEVER, delivery) for delivery in Delivery] == [None] * 4


def test_retry_after_is_respected_if_it_fits() -> None:
    """Retry-After is capped and never shortens the backoff; waits must fit into the remaining time."""
    assert wait(RetryPolicy(), Delivery.REJECTED, retry_after=0) == pytest.approx(0.1)
    assert wait(RetryPolicy(max_retry_after=7), Delivery.REJECTED, retry_after=1e9) == 7
    assert wait(RetryPolicy(), Delivery.UNKNOWN, retry_after=5, left=5.1) == 5
    assert wait(RetryPolicy(), Delivery.UNKNOWN, retry_after=5, left=5.0) is None
    assert wait(RetryPolicy(reconnect=3), Delivery.NOT_SENT, unreached=2.95) == pytest.approx(0.05)
    assert wait(RetryPolicy(reconnect=3), Delivery.NOT_SENT, unreached=3.0) is None


def test_a_request_has_a_total_timeout() -> None:
    """The total is attempts times connect plus read, at most 30 s, at least reconnect plus one attempt."""
    totals: list[tuple[RetryPolicy, httpx.Timeout, float | None]] = [
        (RetryPolicy(), httpx.Timeout(10, connect=3), 30),
        (RetryPolicy(attempts=2), httpx.Timeout(10, connect=3), 26),
        (RetryPolicy(), httpx.Timeout(60), 123),
        (RetryPolicy(), httpx.Timeout(0.3), 3.6),
        (RetryPolicy(total=0), httpx.Timeout(None), 0),
        (RetryPolicy(), httpx.Timeout(10, read=None), None),
        (RetryPolicy(), httpx.Timeout(10, connect=None), None),
    ]
    for policy, timeout, expected in totals:
        assert total_seconds(policy, timeout) == expected


def test_a_policy_has_the_documented_defaults_and_ranges() -> None:
    """A policy has the documented defaults; numbers out of range are rejected by name."""
    assert RetryPolicy() == RetryPolicy(3, None, 3.0, 0.1, 2.0, 30.0, replay_runs=False)
    names = set(re.findall(r"^ +(\w+): ", RetryPolicy.__doc__ or "", re.MULTILINE))
    assert {field.name for field in dataclasses.fields(RetryPolicy)} <= names
    assert RetryPolicy(attempts=1).attempts == 1
    for wrong in (0, -1, 2.5, "3", True):
        expected = f"attempts must be an integer of at least 1, not {wrong!r}"
        assert refusal(ValueError, RetryPolicy, attempts=wrong) == expected
    for name in ("total", "reconnect", "backoff", "max_backoff", "max_retry_after"):
        longest: dict[str, Any] = {name: LONGEST_SECONDS}
        assert getattr(RetryPolicy(**longest), name) == LONGEST_SECONDS
        for wrong in (-1, LONGEST_SECONDS * 2, math.nan, "5", True):
            expected = f"{name} must be a number of seconds from 0 to {LONGEST_SECONDS}, not {wrong!r}"
            assert refusal(ValueError, RetryPolicy, **{name: wrong}) == expected
    assert "reconnect" in refusal(ValueError, RetryPolicy, reconnect=None)


def test_retry_after_is_seconds_or_a_date() -> None:
    """Retry-After is seconds or an HTTP date; other values are ignored."""
    read: dict[str | None, float | None] = {
        "0000000000000005": 5,
        **dict.fromkeys(["0", "000", "Thu, 01 Jan 2026 12:02:00 +0100"], 0),
        **dict.fromkeys([" 120 ", "Thu, 01 Jan 2026 12:02:00 GMT", "Thursday, 01-Jan-26 12:02:00 GMT"], 120),
        **dict.fromkeys(["Thu, 01 Jan 2026 12:02:00", "Thu, 01 Jan 2026 03:02:00 -0900"], 120),
        **dict.fromkeys([None, "", "-1", "+1", "1.5", "1e3", "inf", "nan", "soon", "١٢", "²"]),
        **dict.fromkeys(["Thu, 99 Jan 2026 12:02:00 GMT", "Fri, 31 Dec 99999 23:59:59 GMT"]),
        "Thu, 01 Jan 2026 12:02:00 +99999999999": None,
    }
    assert {value: parse_retry_after(value, NOW) for value in read} == read
    in_a_day = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True))
    assert in_a_day is not None
    assert 80_000 < in_a_day <= 86_400


PARTS = st.sampled_from(["Thu,", "01", "Jan", "2026", "9999", "12:02:00", "::", "99:99:99", "GMT", "-9999", "9" * 20])


@given(st.text() | st.text("0123456789:, GMTJan+-") | st.lists(PARTS).map(" ".join))
@example("9" * 10_000)
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_any_retry_after_is_bounded(value: str) -> None:
    """Any Retry-After is a finite, non-negative number of seconds, or ignored."""
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds < 1e12
