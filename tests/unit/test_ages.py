"""Ages and dates that people write, and which of them are refused rather than guessed."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_sdk.clients.agent.ages import cutoff

from tests.unit.helpers import refusal

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


def test_an_age_counts_from_now() -> None:
    """An age is a number with a unit, or a timedelta, back from now."""
    for age in ("120min", "2h", " 2 H\n", timedelta(hours=2)):
        assert cutoff(age, NOW) == NOW - timedelta(hours=2), age
    assert cutoff("2w", NOW) == cutoff("14d", NOW) == NOW - timedelta(days=14)


DATES = {
    "2026-01-02T10:00:00.5-08:00": "2026-01-02T18:00:00.500000+00:00",
    "2026-01-02 10:00 +0900": "2026-01-02T01:00:00+00:00",
    "Fri, 02 Jan 2026 10:00:00 GMT": "2026-01-02T10:00:00+00:00",
    "Jan 2 2026 5pm UTC": "2026-01-02T17:00:00+00:00",
    "13/02/2026 00:00Z": "2026-02-13T00:00:00+00:00",
}


def test_a_date_is_read_in_any_form() -> None:
    """A date is read in any form that can be read in one way."""
    assert {text: cutoff(text, NOW).isoformat() for text in DATES} == DATES


def test_a_date_without_timezone_is_local(seoul: None) -> None:
    """A date without a timezone is the local time of this machine, and starts the day where it has no time of day."""
    naive = datetime(2026, 1, 2)  # noqa: DTZ001 - its point
    for when in ("2026-01-02", "2 Jan 2026", "2026/1/2 00:00 KST", naive):
        assert cutoff(when, NOW) == datetime(2026, 1, 1, 15, tzinfo=UTC), when


REFUSED = {
    "an age such as": (
        *("30", "2026", "2026-03", "March 2026", "10:00", "12 March", "monday", "202611", "5pm", "now"),
        *("", " ", "30m", "30 days ago", "1.5d", "-3d", "1d12h", "9" * 30, "\uff19d"),
    ),
    r"could be \d{4}-\d\d-\d\d or \d{4}-\d\d-\d\d.*write the year first": ("01/02/2026", "2.1.2026", "25-12-31"),
    r"such as \+09:00": ("2026-01-02 10:00 KST", "Jan 2 2026 10:00 UTC+9", "2 Jan 2026 10:00 JST+9"),
    "does not lie in the past": (
        *("2026-11-22T12:00:00Z", "2027-01-01", "0d", date.max.isoformat(), timedelta(0), timedelta(days=-30)),
        *(NOW, datetime.max.replace(tzinfo=UTC)),
    ),
    "before all dates": (
        *("999999999w", "999999d", timedelta.max),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_read_in_one_way_is_refused(why: str) -> None:
    """A part of a date, an ambiguous or unknown one, and one outside of the past are refused with what to do."""
    for older_than in REFUSED[why]:
        assert re.search(why, refusal(ValueError, cutoff, older_than, NOW)), older_than


def test_other_types_are_refused() -> None:
    """A number says no unit, and a date no time of day: they are refused."""
    for age in (30, 30.0, True, date(2026, 1, 2), b"30d"):
        assert "timedelta, a datetime or a text" in refusal(TypeError, cutoff, age, NOW)


PARTS = st.sampled_from([*"0123456789 :-/.,+TZ", "2026", "12", "31", "Jan", "Fri", "am", "UTC", "GMT", "EST", "d", "h"])


@settings(max_examples=60)
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
