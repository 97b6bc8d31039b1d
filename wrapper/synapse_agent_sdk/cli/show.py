"""Human-readable releases. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = ((86_400 * 365, "year"), (86_400 * 30, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"))
COLUMNS = ("ID", "PLUGIN", "VERSION", "CREATED", "SIZE")
FIELDS = ("id", "plugin", "version", "created", "size", "actions")


def release_row(release: Mapping[str, Any]) -> list[str]:
    """A release as a row of `COLUMNS`."""
    row = [text_of(release.get(name)) for name in ("id", "plugin", "version")]
    return [*row, age(release.get("created")), size(release.get("size"))]


def release_fields(release: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All fields of a release, common fields first."""
    known = [name for name in FIELDS if name in release]
    shown = {"size": size, "actions": actions}
    return [
        (name, shown.get(name, text_of)(release[name])) for name in [*known, *(n for n in release if n not in FIELDS)]
    ]


def text_of(value: Any) -> str:
    """Convert a value to a string: strings as is, anything else as JSON."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def actions(value: Any) -> str:
    """The names of actions, which agents send as a list or as an object.

    Example:
        >>> actions({"train": {"method": "job"}, "test": {}})
        'train, test'
    """
    if isinstance(value, list | dict) and all(isinstance(name, str) for name in value):
        return ", ".join(value) or "-"
    return text_of(value)


def size(value: Any) -> str:
    """Format a number of bytes.

    Example:
        >>> size(48213), size(999), size(5_000_000_000)
        ('48 kB', '999 B', '5.0 GB')
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return text_of(value)
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if round(amount) < 1000:  # noqa: PLR2004 - units of SI
            return f"{amount:.1f} {unit}" if unit != "B" and round(amount, 1) < 10 else f"{amount:.0f} {unit}"  # noqa: PLR2004 - one digit has a decimal
        amount /= 1000
    return f"{amount:.1f} TB"


def age(value: Any, now: datetime | None = None) -> str:
    """Format the age of a timestamp in its largest unit; invalid timestamps are returned as is.

    Example:
        >>> age("2026-11-22T09:30:00Z", datetime(2026, 11, 22, 12, 30, tzinfo=UTC))
        '3 hours ago'
    """
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return text_of(value)
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds < 0:
        return text_of(value)  # in the future, or the agent's clock is ahead
    for length, unit in UNITS:
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'s' if number > 1 else ''} ago"
    return "just now"
