"""Pruning: selects old releases and deletes them. Shared by sync and async."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from synapse_agent_sdk import endpoints, exceptions
from synapse_agent_sdk.runtime import collect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from synapse_agent_api.typed_dicts import PluginRelease

    from synapse_agent_sdk.runtime import BaseHttpClient, Exchange


Age: TypeAlias = timedelta | datetime | str
"""An age or a date: `30d`, `12h`, an ISO 8601 date, a `timedelta` or a `datetime`."""

AGE = re.compile(r"([0-9]{1,9}) ?(min|h|d|w)", re.IGNORECASE)
UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
DATE = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")


def choose(
    releases: Iterable[PluginRelease], *, before: datetime | None, keep: int | None, plugin: str | None
) -> list[PluginRelease]:
    """Choose the releases to delete, oldest first.

    The agent's data may be invalid, and the agent may ignore filters. A release whose id, plugin or age is invalid is
    never chosen, and does not count towards `keep`.

    Args:
        releases: The listed releases; may contain duplicates.
        before: Choose only releases cached before this time.
        keep: Number of newest releases of each plugin to keep.
        plugin: Choose only releases of this plugin.

    Example:
        >>> old, new = [
        ...     {"id": number, "plugin": "ocr", "version": f"1.{number}", "created": f"2026-01-0{number}T00:00:00Z"}
        ...     for number in (1, 2)
        ... ]
        >>> [release["id"] for release in choose([new, old], before=None, keep=1, plugin=None)]
        [1]
    """
    dated: dict[int, tuple[datetime, int, PluginRelease]] = {}
    for release in releases:
        created = _created(release)
        if created is not None and plugin in {None, release["plugin"]}:
            number = release["id"]
            dated[number] = max(dated.get(number, (created, number, release)), (created, number, release), key=_age)
    newest_first = sorted(dated.values(), key=_age, reverse=True)
    seen: dict[str, int] = {}
    chosen = []
    for created, _, release in newest_first:
        code = release["plugin"]
        seen[code] = seen.get(code, 0) + 1
        if (before is None or created < before) and (keep is None or seen[code] > keep):
            chosen.append(release)
    return chosen[::-1]


def _age(dated: tuple[datetime, int, PluginRelease]) -> tuple[datetime, int]:
    """Sort key: of two releases cached at the same time, the one with the higher id is newer."""
    return dated[:2]


def _created(release: Any) -> datetime | None:
    """When a release was cached, or None if its time, id or plugin is invalid."""
    if not isinstance(release, dict) or not isinstance(release.get("plugin"), str):
        return None
    number, created = release.get("id"), release.get("created")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0 or not isinstance(created, str):
        return None
    try:
        when = datetime.fromisoformat(created.upper())
        # Without an offset it is not RFC 3339, and could be half a day off.
        return None if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_cutoff(older_than: Age, now: datetime) -> datetime:
    """The cutoff time: releases cached before it are old enough.

    Args:
        older_than: An age or a date. A date without a timezone is local time; without a time of day it is midnight.
        now: The current time, with a timezone.

    Returns:
        The time, in UTC.

    Raises:
        TypeError: If `older_than` is not a string, a timedelta or a datetime.
        ValueError: If it is invalid or not in the past.

    Example:
        >>> from datetime import UTC, datetime
        >>> parse_cutoff("30d", datetime(2026, 1, 31, tzinfo=UTC)).isoformat()
        '2026-01-01T00:00:00+00:00'
    """
    then = _time(older_than, now)
    try:
        then = then.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError(_out_of_range(older_than)) from None
    if then >= now:
        msg = f"older_than must be in the past, not {older_than!r:.100}"
        raise ValueError(msg)
    return then


def _time(older_than: Age, now: datetime) -> datetime:
    if isinstance(older_than, datetime):
        return older_than
    if isinstance(older_than, timedelta):
        return _ago(older_than, older_than, now)
    if not isinstance(older_than, str):
        msg = f"older_than must be a string, a timedelta or a datetime, not {older_than!r:.100}"
        raise TypeError(msg)
    text = older_than.strip()
    if age := AGE.fullmatch(text):
        return _ago(older_than, int(age[1]) * UNITS[age[2].lower()], now)
    from dateutil.parser import isoparse  # type: ignore[import-untyped]  # it has no types

    try:
        if not DATE.match(text):  # isoparse would read a year alone as January 1
            raise ValueError  # noqa: TRY301 - handled like any invalid date
        then: datetime = isoparse(text)
        then.utcoffset()  # may be out of range
    except ValueError:
        msg = (
            f"older_than must be an age (90min, 12h, 30d, 2w) or an ISO 8601 date (2026-01-31), not {older_than!r:.100}"
        )
        raise ValueError(msg) from None
    return then


def _ago(older_than: Age, age: timedelta, now: datetime) -> datetime:
    try:
        return now - age
    except OverflowError:
        raise ValueError(_out_of_range(older_than)) from None


def _out_of_range(older_than: Age) -> str:
    return f"older_than is out of range: {older_than!r:.100}"


def check(older_than: Age | None, keep: int | None, plugin: str | None, now: datetime) -> datetime | None:
    """Validate the criteria, and return the cutoff time if there is one.

    Raises:
        TypeError: If `older_than` has the wrong type.
        ValueError: If there are no criteria, or one is invalid.
    """
    if plugin is not None and (not isinstance(plugin, str) or not plugin.strip()):
        msg = f"plugin must be a plugin code, not {plugin!r:.100}"
        raise ValueError(msg)
    if keep is not None and (not isinstance(keep, int) or isinstance(keep, bool) or keep < 1):
        msg = f"keep must be an integer of at least 1, not {keep!r:.100}"
        raise ValueError(msg)
    if older_than is None and keep is None:
        msg = "pruning needs older_than, keep or both: without them it would delete every release"
        msg = f"{msg} of {plugin!r:.100}" if plugin is not None else msg
        raise ValueError(msg)
    return None if older_than is None else parse_cutoff(older_than, now)


def prune(
    http: BaseHttpClient, *, older_than: Age | None, keep: int | None, plugin: str | None, dry_run: bool
) -> Exchange[list[PluginRelease]]:
    """Read the whole list, then delete the chosen releases by id, oldest first.

    Args:
        http: The HTTP client.
        older_than: An age or a date.
        keep: Number of newest releases of each plugin to keep.
        plugin: Code of the plugin to prune.
        dry_run: Whether to skip the deletions.

    Returns:
        An exchange whose value is the releases that it deleted or would delete.

    Raises:
        ClientError: If a page or a deletion fails; `results` has the releases deleted so far.
    """
    before = check(older_than, keep, plugin, datetime.now(UTC))
    deleted: list[PluginRelease] = []
    progress = "nothing was deleted"
    try:
        releases, _ = yield from collect(http.cursor(*endpoints.release_pages({"plugin": plugin})))
        chosen = choose(releases, before=before, keep=keep, plugin=plugin)
        if dry_run:
            return chosen
        for release in chosen:
            progress = f"{len(deleted)} of {len(chosen)} releases were deleted, then"
            try:
                yield from http.result(endpoints.delete_plugin_release(release["id"]))
            except exceptions.NotFoundError:
                continue  # already deleted by another client
            deleted.append(release)
    except exceptions.ClientError as error:
        error.results = deleted
        error.args = (f"{progress}: {error}",)
        raise
    return deleted
