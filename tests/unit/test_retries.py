"""The policy: what may be sent again, when, and for how long."""

from __future__ import annotations

import dataclasses
import math
import pickle
import re
import ssl
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synapse_sdk.clients.agent import RetryPolicy, retries
from synapse_sdk.clients.agent.attempt import Attempt
from synapse_sdk.clients.agent.retries import Fate, parse_retry_after
from synapse_sdk.clients.agent.settings import LONGEST_SECONDS

REPLAYING = RetryPolicy(replay_runs=True)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECONDS = st.floats(0, 1e6)
POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 10),
    total=st.none() | SECONDS,
    reconnect=SECONDS,
    backoff=SECONDS,
    max_backoff=SECONDS,
    max_retry_after=SECONDS,
    replay_runs=st.booleans(),
)
SITUATIONS = st.fixed_dictionaries(
    {
        "is_run": st.booleans(),
        "tries": st.integers(1, 10_000),
        "attempts": st.integers(0, 20),
        "unreached": SECONDS,
        "left": st.none() | st.floats(-10, 1e6),
        "retry_after": st.none() | st.floats(0, 1e12),
        "random": st.floats(0, 1),
    }
)
"""All that a decision depends on, beside the policy and the fate."""


def wait(policy: RetryPolicy, fate: Fate, **situation: Any) -> float | None:
    """The wait before the next attempt, after the first one unless told otherwise."""
    usual = {"is_run": False, "tries": 1, "attempts": 1, "unreached": 0.0, "left": None, "retry_after": None}
    return retries.wait_before_next(policy, fate, **{"random": 1.0, **usual, **situation})


def documented() -> dict[str, tuple[str, str]]:
    """The table in the module's docstring: what becomes of calls, and of runs, by fate."""
    rows = [line.strip("| ").split("|") for line in (retries.__doc__ or "").splitlines() if line.startswith("|")]
    return {row[0].split(":")[0].strip(): (row[1].strip(), row[2].strip()) for row in rows[2:]}


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("is_run", [False, True], ids=["call", "run"])
def test_the_policy_is_as_documented(fate: Fate, is_run: bool) -> None:
    """What is sent again is what the documented table says, for calls and for runs."""
    says = documented()[fate.value][is_run]
    expected = {
        "again, for a time": True,
        "again": True,
        "never": False,
        "never, unless the policy replays runs": False,
    }
    assert (wait(RetryPolicy(), fate, is_run=is_run) is not None) is expected[says]
    replays = expected[says] or "unless the policy replays runs" in says
    assert (wait(REPLAYING, fate, is_run=is_run) is not None) is replays
    by_time = wait(RetryPolicy(), fate, is_run=is_run, attempts=99, tries=99) is not None
    assert by_time is ("for a time" in says)


def test_the_table_has_every_fate() -> None:
    """Each fate of a request has its row in the documented table, and there are no others."""
    assert documented().keys() == {fate.value for fate in Fate}


STATUS_FATES = {**dict.fromkeys([502, 503, 504], Fate.UNKNOWN), 429: Fate.NOT_CARRIED_OUT}


def test_only_four_statuses_are_worth_another_try() -> None:
    """After 429 a request was not carried out, after 502, 503 and 504 nobody knows, and all others are final."""
    fates = {status: retries.fate_of_status(status, None) for status in range(300, 1000)}
    assert {status: fate for status, fate in fates.items() if fate is not Fate.KNOWN} == STATUS_FATES


@pytest.mark.parametrize("error_type", ["action_failed", "action_timeout", "gpu_unavailable"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_type_makes_an_answer_final(status: int, error_type: str) -> None:
    """An answer that says what became of the action leaves nothing unknown."""
    assert retries.fate_of_status(status, error_type) is Fate.KNOWN


@pytest.mark.parametrize("error_type", ["maintenance", "gateway_timeout", ""])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_another_error_type_tells_nothing_of_the_action(status: int, error_type: str) -> None:
    """An answer whose error_type is of something else leaves what became of the action unknown."""
    assert retries.fate_of_status(status, error_type) is Fate.UNKNOWN


def attempt(*, watched: bool = True, sent: bool = True) -> Attempt:
    """An attempt after which this is known."""
    made = Attempt()
    made.watched, made.sent = watched, sent
    return made


def untrusted() -> httpx.ConnectError:
    """The failure that a certificate which nobody vouches for ends in."""
    failure = httpx.ConnectError("certificate verify failed")
    failure.__cause__ = OSError()
    failure.__cause__.__context__ = ssl.SSLCertVerificationError()
    return failure


BROKEN_KINDS = [
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.ReadTimeout,
    httpx.WriteTimeout,
]


@pytest.mark.parametrize("kind", BROKEN_KINDS)
def test_a_request_is_unsent_only_where_no_byte_left(kind: type[httpx.TransportError]) -> None:
    """A failure counts as not sent only where the transport saw that no byte of the request left."""
    failure = kind("broken")
    assert retries.fate_of_failure(failure, attempt(sent=True)) is Fate.UNKNOWN
    assert retries.fate_of_failure(failure, attempt(sent=False)) is Fate.NOT_SENT
    assert retries.fate_of_failure(failure, attempt(watched=False, sent=False)) is Fate.UNKNOWN


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError])
def test_what_never_connected_was_not_sent(kind: type[httpx.TransportError]) -> None:
    """Without a connection nothing was sent, whoever's transport it was."""
    for made in (attempt(sent=False), attempt(watched=False)):
        assert retries.fate_of_failure(kind("refused"), made) is Fate.NOT_SENT


@pytest.mark.parametrize(
    "failure",
    [
        httpx.PoolTimeout("busy"),
        httpx.LocalProtocolError("wrong"),
        httpx.UnsupportedProtocol("wrong"),
        httpx.DecodingError("wrong"),
        ValueError("wrong"),
        untrusted(),
    ],
    ids=repr,
)
def test_what_would_fail_again_is_final(failure: Exception) -> None:
    """Failures that another attempt would end in too, as with an untrusted certificate, are final."""
    assert retries.fate_of_failure(failure, attempt(sent=False)) is Fate.KNOWN


@given(POLICIES, st.sampled_from(Fate), SITUATIONS)
def test_waits_are_bounded(policy: RetryPolicy, fate: Fate, situation: dict[str, Any]) -> None:
    """A wait is never negative or endless, and never longer than the policy's caps or the time that is left."""
    seconds = retries.wait_before_next(policy, fate, **situation)
    if seconds is None:
        return
    assert 0 <= seconds < math.inf
    assert situation["left"] is None or seconds < situation["left"]
    if fate is Fate.NOT_SENT:
        assert seconds <= min(policy.max_backoff, policy.reconnect - situation["unreached"])
    else:
        asked = min(situation["retry_after"] or 0, policy.max_retry_after)
        assert asked <= seconds <= max(policy.max_backoff, asked)


@given(POLICIES, st.sampled_from(Fate), SITUATIONS)
def test_attempts_and_time_are_bounded(policy: RetryPolicy, fate: Fate, situation: dict[str, Any]) -> None:
    """Nothing is sent after the last attempt, after the time for reconnecting, or once an outcome is known."""
    seconds = retries.wait_before_next(policy, fate, **situation)
    if fate is Fate.KNOWN:
        assert seconds is None
    if fate is Fate.NOT_SENT and situation["unreached"] >= policy.reconnect:
        assert seconds is None
    if fate is not Fate.NOT_SENT and situation["attempts"] >= policy.attempts:
        assert seconds is None
    if situation["left"] is not None and situation["left"] <= 0:
        assert seconds is None


@given(POLICIES, SITUATIONS)
def test_no_run_is_repeated_that_may_be_running(policy: RetryPolicy, situation: dict[str, Any]) -> None:
    """A run of which nobody knows whether it was carried out is sent again only by a policy that replays runs."""
    seconds = retries.wait_before_next(policy, Fate.UNKNOWN, **{**situation, "is_run": True})
    assert seconds is None or policy.replay_runs


@given(st.sampled_from(Fate), SITUATIONS)
def test_never_sends_again_nothing(fate: Fate, situation: dict[str, Any]) -> None:
    """What stands for retry=None sends nothing again, whatever happened."""
    situation = {**situation, "attempts": max(1, situation["attempts"])}
    assert retries.wait_before_next(retries.NEVER, fate, **situation) is None


def test_backoff_doubles_up_to_its_cap() -> None:
    """Waits double with each attempt until the cap, and half of each is random."""
    policy = RetryPolicy(attempts=99, backoff=0.1, max_backoff=1)
    waits = [wait(policy, Fate.UNKNOWN, tries=tries) for tries in range(1, 7)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1])
    assert wait(policy, Fate.UNKNOWN, random=0.0) == pytest.approx(0.05)
    assert wait(policy, Fate.UNKNOWN, tries=10**9) == 1


def test_retry_after_is_a_minimum() -> None:
    """What the agent asks for is waited for, up to the cap, and never shortens the backoff."""
    assert wait(RetryPolicy(), Fate.NOT_CARRIED_OUT, retry_after=5) == 5
    assert wait(RetryPolicy(), Fate.NOT_CARRIED_OUT, retry_after=0) == pytest.approx(0.1)
    assert wait(RetryPolicy(max_retry_after=7), Fate.NOT_CARRIED_OUT, retry_after=1e9) == 7


def test_a_wait_must_fit_into_what_is_left() -> None:
    """A wait that does not fit into the time that is left is not begun."""
    assert wait(RetryPolicy(), Fate.UNKNOWN, retry_after=5, left=5.1) == 5
    assert wait(RetryPolicy(), Fate.UNKNOWN, retry_after=5, left=5.0) is None


def test_the_last_wait_ends_with_the_time_for_reconnecting() -> None:
    """An agent that cannot be reached is tried once more at the very end of its time."""
    assert wait(RetryPolicy(reconnect=3), Fate.NOT_SENT, unreached=2.95) == pytest.approx(0.05)
    assert wait(RetryPolicy(reconnect=3), Fate.NOT_SENT, unreached=3.0) is None


@pytest.mark.parametrize(
    ("policy", "timeout", "is_run", "expected"),
    [
        (RetryPolicy(), httpx.Timeout(10, connect=3), False, 30),
        (RetryPolicy(attempts=2), httpx.Timeout(10, connect=3), False, 26),
        (RetryPolicy(), httpx.Timeout(1), False, 6),
        (RetryPolicy(), httpx.Timeout(60), False, 123),
        (RetryPolicy(), httpx.Timeout(0.3), False, 3.6),
        (RetryPolicy(total=5), httpx.Timeout(10), False, 5),
        (RetryPolicy(total=0), httpx.Timeout(10), False, 0),
        (RetryPolicy(total=5), httpx.Timeout(None), False, 5),
        (RetryPolicy(), httpx.Timeout(None), False, None),
        (RetryPolicy(), httpx.Timeout(10, read=None), False, None),
        (RetryPolicy(), httpx.Timeout(10, connect=None), False, None),
        (RetryPolicy(), httpx.Timeout(10, connect=3, read=None), True, None),
        (RetryPolicy(), httpx.Timeout(60, connect=3), True, None),
        (RetryPolicy(total=5), httpx.Timeout(60, connect=3), True, None),
        (RetryPolicy(total=5), httpx.Timeout(None), True, None),
    ],
)
def test_a_call_has_a_total_time(
    policy: RetryPolicy,
    timeout: httpx.Timeout,
    is_run: bool,
    expected: float | None,
) -> None:
    """A call takes attempts times connect and read, at most 30 s, but a restart and one attempt; runs have no bound."""
    assert retries.total_seconds(policy, timeout, is_run=is_run) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": -1},
        *[
            {name: value}
            for name in ("total", "reconnect", "backoff", "max_backoff", "max_retry_after")
            for value in (-1, math.inf, math.nan)
        ],
    ],
    ids=str,
)
def test_a_wrong_policy_is_refused(wrong: dict[str, Any]) -> None:
    """Numbers out of range raise a ValueError that names them."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_a_policy_is_immutable() -> None:
    """A policy can be shared: it is a value that does not change, compares and pickles."""
    policy = RetryPolicy(attempts=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.attempts = 6  # type: ignore[misc]  # which is the point
    assert policy == RetryPolicy(attempts=5)
    assert hash(policy) == hash(RetryPolicy(attempts=5))
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - made on this line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("007", 7),
        ("Thu, 01 Jan 2026 12:02:00 GMT", 120),
        ("Thursday, 01-Jan-26 12:02:00 GMT", 120),
        ("Thu, 01 Jan 2026 12:02:00", 120),
        ("Thu, 01 Jan 2026 14:02:00 +0200", 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (None, None),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e3", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("١٢", None),
        ("²", None),
        ("Thu, 99 Jan 2026 12:02:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Thu, 01 Jan 2026 12:02:00 +99999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    """Retry-After is read in seconds or as an HTTP date; anything else counts for nothing."""
    assert parse_retry_after(value, NOW) == expected


@given(st.timedeltas(timedelta(0), timedelta(days=365_000)), st.integers(-23, 23))
def test_a_date_is_so_many_seconds_away(distance: timedelta, hours: int) -> None:
    """A date in any time zone is as many seconds away as it is, and 0 where it has passed."""
    when = NOW + timedelta(seconds=int(distance.total_seconds()))
    text = format_datetime(when.astimezone(timezone(timedelta(hours=hours))))
    assert parse_retry_after(text, NOW) == (when - NOW).total_seconds()
    assert parse_retry_after(text, when + timedelta(seconds=1)) == 0


PARTS = st.sampled_from(
    [
        "Thu,",
        "01",
        "Jan",
        "2026",
        "9999",
        "12:02:00",
        "12:02",
        "::",
        "99:99:99",
        "GMT",
        "+0200",
        "-9999",
        "9" * 20,
        "x",
        ",",
        "-",
        "",
    ]
)


@given(st.one_of(st.text(), st.text("0123456789:, GMTJan+-"), st.lists(PARTS).map(" ".join)))
@example("9" * 10_000)
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_any_retry_after_is_harmless(value: str) -> None:
    """Whatever a server sends as Retry-After, it is a finite number of seconds, 0 or more, or nothing."""
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds < 1e12


def test_the_documented_defaults_hold() -> None:
    """The default policy is what its documentation says: three attempts, 3 s for reconnecting, no replayed runs."""
    policy = RetryPolicy()
    assert (policy.attempts, policy.reconnect, policy.replay_runs, policy.total) == (3, 3.0, False, None)
    names = set(re.findall(r"^ +(\w+): ", RetryPolicy.__doc__ or "", re.MULTILINE))
    assert {field.name for field in dataclasses.fields(RetryPolicy)} <= names


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": "3"},
        {"attempts": 2.5},
        {"attempts": True},
        {"attempts": 0},
        {"total": "5"},
        {"total": 1e10},
        {"total": float("nan")},
        {"reconnect": None},
        {"backoff": -1},
        {"max_backoff": float("inf")},
        {"max_retry_after": True},
    ],
    ids=str,
)
def test_wrong_numbers_are_named(wrong: dict[str, Any]) -> None:
    """A number that a policy cannot use is refused by its name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_leading_zeros_count_for_nothing() -> None:
    """Retry-After with leading zeros is the number that it is."""
    assert parse_retry_after("0000000000000005") == 5
    assert parse_retry_after("000") == 0


def test_the_longest_time_is_still_one() -> None:
    """Each number of seconds may be as long as the message says, and no longer."""
    for name in ("total", "reconnect", "backoff", "max_backoff", "max_retry_after"):
        longest: dict[str, Any] = {name: LONGEST_SECONDS}
        assert getattr(RetryPolicy(**longest), name) == LONGEST_SECONDS
        with pytest.raises(ValueError, match=name):
            RetryPolicy(**{**longest, name: LONGEST_SECONDS * 2})


def test_a_date_is_counted_from_now() -> None:
    """A Retry-After with a date is as many seconds as there are from now until then."""
    seconds = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert seconds is not None
    assert 3500 < seconds <= 3600
