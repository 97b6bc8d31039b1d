"""Ages and dates as people write them become a point in time. Pure, and strict: what is meant to be old gets deleted.

dateutil reads nearly anything, and fills what a text lacks from today: `30` is the 30th of this month to it, and `12h`
is noon. So a text counts only where it has year, month and day, and can be read in one way.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TypeAlias

Age: TypeAlias = timedelta | datetime | str
"""How old, or since when: `30d`, `12h`, a date in any form, a `timedelta`, or a `datetime`."""

AGE = re.compile(r"([0-9]{1,9}) ?(min|h|d|w)", re.IGNORECASE)
UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
FORMS = "an age such as 90min, 12h, 30d or 2w, or a date with its year, month and day, such as 2026-01-31"
YEAR_FIRST = re.compile(r"\s*[0-9]{4}[-/.]")
NAME_WITH_OFFSET = re.compile(r"\b(UTC|GMT) ?[+-]|:[0-9.,]+ *([ap]m)? *[a-z]{3,5} ?[+-]", re.IGNORECASE)
"""`UTC+9`, which to dateutil, as to POSIX, is nine hours behind UTC, and to people nine hours ahead."""
ABSENT = (datetime(2001, 1, 1), datetime(2004, 2, 2))  # noqa: DTZ001 - what stands in for what a text lacks
"""No part of a date is the same in both, so that a date which lacks one is not the same either."""


def parse_cutoff(older_than: Age, now: datetime) -> datetime:
    """The time before which everything is older than was asked for.

    Args:
        older_than: An age or a date. Without a timezone it is the local time of this machine; without a time of day
            it is the start of that day.
        now: The time at which it is asked, with its timezone.

    Returns:
        The time, in UTC.

    Raises:
        TypeError: If it is none of these types.
        ValueError: If it cannot be read, can be read in two ways, or does not lie in the past.

    Example:
        >>> from datetime import UTC, datetime
        >>> parse_cutoff("30d", datetime(2026, 1, 31, tzinfo=UTC)).isoformat()
        '2026-01-01T00:00:00+00:00'
    """
    then = _time(older_than, now)
    try:
        then = then.astimezone(UTC)
    except (ValueError, OverflowError, OSError):  # on the first day that there is, or on the last one
        if then.year < now.year:
            raise ValueError(_before_all_dates(older_than)) from None
        then = now
    if then >= now:
        msg = f"older_than: {older_than!r:.100} does not lie in the past, so that everything would be older"
        raise ValueError(msg)
    return then


def _time(older_than: Age, now: datetime) -> datetime:
    if isinstance(older_than, datetime):
        return older_than
    if isinstance(older_than, timedelta):
        return _ago(older_than, older_than, now)
    if not isinstance(older_than, str):
        msg = f"older_than takes a timedelta, a datetime or a text, not {older_than!r:.100}"
        raise TypeError(msg)
    if age := AGE.fullmatch(older_than.strip()):
        return _ago(older_than, UNITS[age[2].lower()], now, int(age[1]))
    try:
        return datetime.fromisoformat(older_than.strip())
    except ValueError:
        return _date(older_than)


def _ago(older_than: Age, unit: timedelta, now: datetime, count: int = 1) -> datetime:
    try:
        return now - count * unit
    except OverflowError:
        raise ValueError(_before_all_dates(older_than)) from None


def _before_all_dates(older_than: Age) -> str:
    return f"older_than: {older_than!r:.100} lies before all dates"


def _date(text: str) -> datetime:
    """A date in any form that dateutil reads, where there is but one way to read it."""
    from dateutil.parser import parse  # type: ignore[import-untyped]  # it has no types, and this is its one use

    if NAME_WITH_OFFSET.search(text):
        msg = f"older_than: {text!r:.100} has an offset behind the name of a timezone: write it alone, such as +09:00"
        raise ValueError(msg)
    orders = [(False, False)] if YEAR_FIRST.match(text) else list(product((False, True), repeat=2))
    readings = set()
    for dayfirst, yearfirst in orders:
        options = {"dayfirst": dayfirst, "yearfirst": yearfirst, "tzinfos": _timezone}
        try:
            one, other = (parse(text, default=absent, **options) for absent in ABSENT)
            one.utcoffset()  # dateutil lets offsets of more than a day through
        except LookupError as error:
            msg = f"older_than: {text!r:.100} {error.args[0]}"
            raise ValueError(msg) from None
        except (ValueError, OverflowError):
            one, other = ABSENT
        if one != other:
            msg = f"older_than takes {FORMS}, not {text!r:.100}"
            raise ValueError(msg)
        readings.add(one)
    if len(readings) > 1:
        days = " or ".join(sorted(f"{reading:%Y-%m-%d}" for reading in readings))
        msg = f"older_than: {text!r:.100} could be {days}: write the year first"
        raise ValueError(msg)
    reading: datetime = readings.pop()
    return reading


def _timezone(name: str | None, offset: int | None) -> int | None:
    """The offset of a timezone in seconds, or None for this machine's own."""
    if offset is None and name is not None and name not in time.tzname:
        msg = f"names a timezone that is not known here, {name}: write its offset, such as +09:00"
        raise LookupError(msg)
    return offset
