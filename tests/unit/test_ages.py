"""Ages and dates that people write, and which of them are refused rather than guessed."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from synapse_sdk.clients.agent.ages import cutoff

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def seoul(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose local time is nine hours ahead of UTC, the whole year."""
    monkeypatch.setenv("TZ", "KST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("age", "ago"),
    [
        ("90min", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("1w", timedelta(days=7)),
        (" 2 W\n", timedelta(days=14)),
        (timedelta(seconds=1), timedelta(seconds=1)),
    ],
)
def test_an_age_counts_from_now(age: Any, ago: timedelta) -> None:
    """An age is a number with a unit, or a timedelta, back from now."""
    assert cutoff(age, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T10:00:00Z", "2026-01-02T10:00:00+00:00"),
        ("2026-01-02 10:00 +0900", "2026-01-02T01:00:00+00:00"),
        ("2026-01-02T10:00:00.5-08:00", "2026-01-02T18:00:00.500000+00:00"),
        ("Fri, 02 Jan 2026 10:00:00 GMT", "2026-01-02T10:00:00+00:00"),
        ("Jan 2 2026 5pm UTC", "2026-01-02T17:00:00+00:00"),
        ("2026/01/02 00:00Z", "2026-01-02T00:00:00+00:00"),
        ("13/02/2026 00:00Z", "2026-02-13T00:00:00+00:00"),
        ("2 February 2026 00:00Z", "2026-02-02T00:00:00+00:00"),
        ("20260102T0000Z", "2026-01-02T00:00:00+00:00"),
    ],
)
def test_a_date_is_read_in_any_form(text: str, expected: str) -> None:
    """A date is read in any form that can be read in one way."""
    assert cutoff(text, NOW).isoformat() == expected


@pytest.mark.parametrize(
    "naive",
    ["2026-01-02", "2026-01-02 00:00", "2 Jan 2026", "20260102", "2026/1/2 00:00 KST", datetime(2026, 1, 2)],  # noqa: DTZ001 - its point
)
def test_a_date_without_timezone_is_local(naive: Any, seoul: None) -> None:
    """A date without a timezone is the local time of this machine, and starts the day where it has no time of day."""
    assert cutoff(naive, NOW) == datetime(2026, 1, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["30", "2026", "2026-03", "March 2026", "10:00", "12 March", "monday", "202611", "5pm"]
)
def test_a_part_of_a_date_is_refused(text: str) -> None:
    """What lacks year, month or day is refused: nothing is filled in from today."""
    with pytest.raises(ValueError, match="an age such as"):
        cutoff(text, NOW)


@pytest.mark.parametrize(
    "text", ["", " ", "30m", "30 days ago", "1.5d", "-3d", "+3d", "1d12h", "now", "9" * 30, "\uff19d"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    """What is neither an age nor a date is refused with what would be; `30m` might be minutes or months."""
    with pytest.raises(ValueError, match="an age such as"):
        cutoff(text, NOW)


@pytest.mark.parametrize("text", ["01/02/2026", "2.1.2026", "01-02-03", "25-12-31"])
def test_what_can_be_read_in_two_ways_is_refused(text: str) -> None:
    """A date whose day could be its month, or its year, is refused with what it could be."""
    with pytest.raises(ValueError, match=r"could be \d{4}-\d\d-\d\d or \d{4}-\d\d-\d\d.*write the year first"):
        cutoff(text, NOW)


@pytest.mark.parametrize(
    "text", ["2026-01-02 10:00 KST", "2026-01-02 10:00 EST", "Jan 2 2026 10:00 UTC+9", "2 Jan 2026 10:00 JST+9"]
)
def test_a_timezone_that_is_not_known_is_refused(text: str) -> None:
    """A timezone by a name that means nothing here, or with an offset whose sign people and POSIX read differently."""
    with pytest.raises(ValueError, match=r"such as \+09:00"):
        cutoff(text, NOW)


@pytest.mark.parametrize(
    "future",
    [
        "2026-11-22T12:00:00Z",
        "2027-01-01",
        "0d",
        timedelta(0),
        timedelta(days=-30),
        NOW,
        datetime.max.replace(tzinfo=UTC),
        date.max.isoformat(),
    ],
)
def test_the_future_is_refused(future: Any) -> None:
    """What does not lie in the past is refused, since everything would be older."""
    with pytest.raises(ValueError, match="does not lie in the past"):
        cutoff(future, NOW)


@pytest.mark.parametrize(
    "age", ["999999999w", "999999d", timedelta.max, datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))]
)
def test_what_lies_before_all_dates_is_refused(age: Any) -> None:
    """An age that leads before the first year is refused."""
    with pytest.raises(ValueError, match="before all dates"):
        cutoff(age, NOW)


@pytest.mark.parametrize("age", [30, 30.0, date(2026, 1, 2), b"30d", ("30d",), True])
def test_other_types_are_refused(age: Any) -> None:
    """A number says no unit, and a date no time of day: they are refused."""
    with pytest.raises(TypeError, match="timedelta, a datetime or a text"):
        cutoff(age, NOW)


PARTS = st.sampled_from([*"0123456789 :-/.,+TZ", "2026", "12", "31", "Jan", "Fri", "am", "UTC", "GMT", "EST", "d", "h"])


@given(st.lists(PARTS, max_size=12).map("".join) | st.text(max_size=30))
@example("2026-01-02T10:00:00+99:99")
@example("\x00")
@example("1e400")
def test_any_text_is_a_time_in_the_past_or_refused(text: str) -> None:
    """Whatever is written, the answer is a time in the past, in UTC, or a ValueError."""
    try:
        then = cutoff(text, NOW)
    except ValueError as error:
        said = str(error)
        assert said.startswith("older_than"), said
    else:
        assert then < NOW
        assert then.tzinfo is UTC


@given(
    st.datetimes(datetime(1000, 1, 1), datetime(2026, 11, 22), timezones=st.just(UTC)),  # noqa: DTZ001 - see timezones
    st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d %b %Y %H:%M:%S", "%c"]),
)
def test_a_written_date_is_read_back(moment: datetime, form: str) -> None:
    """A date with month names, or with the year first, is read as what it was written from."""
    moment = moment.replace(microsecond=0)
    assert cutoff(f"{moment:{form}} +00:00", NOW) == moment
