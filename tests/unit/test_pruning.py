"""Which releases pruning chooses, against a model that is written in another way."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_sdk.clients.agent.pruning import check, choose

from tests.unit.helpers import refusal

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def release(number: Any, days: float, plugin: Any = "ocr") -> dict[str, Any]:
    """A release that was cached some days ago."""
    created = (NOW - timedelta(days=days)).isoformat()
    return {"id": number, "plugin": plugin, "version": f"1.0.{number}", "created": created}


def chosen(
    releases: list[Any], before: datetime | None = None, keep: int | None = None, plugin: str | None = None
) -> list[Any]:
    """The ids of what is chosen."""
    return [each["id"] for each in choose(releases, before=before, keep=keep, plugin=plugin)]


DAYS = {days: NOW - timedelta(days=days) for days in range(10)}
RELEASES = [release(3, 3), release(1, 5), release(2, 4), release(8, 8, "seg"), release(9, 1, "seg")]


def test_what_is_older_and_not_among_the_newest_is_chosen() -> None:
    """What was cached before the time, and is not among the newest of its plugin, is chosen, oldest first."""
    assert chosen(RELEASES, DAYS[4]) == [8, 1]
    assert chosen(RELEASES, keep=1) == [8, 1, 2]
    assert chosen(RELEASES, DAYS[1], keep=1) == [8, 1, 2]
    assert chosen(RELEASES, DAYS[0], plugin="se") == []
    anew = [release(2, 9), release(2, 1)]  # another release of the same id, cached meanwhile
    assert chosen(anew, DAYS[5]) == chosen(anew[::-1], DAYS[5]) == []


def test_without_a_readable_age_a_release_stays() -> None:
    """A release without `created`, or with one that is no RFC 3339, stays, and takes no place of one that is kept."""
    missing = {name: value for name, value in release(2, 9).items() if name != "created"}
    for created in (None, "", "yesterday", "2020-01-01T00:00:00", "2020-13-01T00:00:00Z", 1577836800, ["2020"]):
        unknown = {**release(1, 9), "created": created}
        assert chosen([unknown, missing], DAYS[0]) == [], created
        assert chosen([unknown, missing, release(3, 8), release(4, 7)], keep=2) == [], created
    for created in ("2020-01-01t00:00:00z", "2020-01-01 00:00:00.123456789+09:00"):
        assert chosen([{**release(1, 9), "created": created}], DAYS[0]) == [1], created


def test_what_cannot_be_deleted_by_its_id_is_passed_over() -> None:
    """A release whose id is not a whole number stays, and so does what is no release, or tells no plugin."""
    for number in (None, "7", "ocr@1.0.0", "..", 7.0, True, -1, [7]):
        assert chosen([release(number, 9)], DAYS[0]) == [], number
    entry: Any
    for entry in (None, 7, "ocr@1.0.0", [], {}, {"id": 7}, release(1, 9, plugin=None)):
        assert chosen([entry, release(2, 9)], DAYS[0]) == [2], entry


def expected(
    releases: list[dict[str, Any]], before: datetime | None, keep: int | None, plugin: str | None
) -> set[tuple[int, str]]:
    """The model: the releases that go, each judged by itself."""
    going = set()
    for each in releases:
        if each["created"] is None or plugin not in {None, each["plugin"]}:
            continue
        mine = (datetime.fromisoformat(each["created"]), each["id"])
        peers = [peer for peer in releases if peer["created"] and peer["plugin"] == each["plugin"]]
        newer = sum((datetime.fromisoformat(peer["created"]), peer["id"]) > mine for peer in peers)
        if (before is None or mine[0] < before) and (keep is None or newer >= keep):
            going.add((each["id"], each["plugin"]))
    return going


MADE = st.builds(
    lambda number, days, plugin, dated: {**release(number, days, plugin), **({} if dated else {"created": None})},
    st.integers(0, 50),
    st.integers(0, 9),
    st.sampled_from(["ocr", "seg", "ocr2"]),
    st.sampled_from([True, True, True, False]),
)
LISTS = st.lists(MADE, max_size=25, unique_by=lambda each: each["id"])


@settings(max_examples=60)
@given(
    LISTS,
    st.none() | st.sampled_from(list(DAYS.values())),
    st.none() | st.integers(1, 4),
    st.sampled_from([None, "ocr", "seg", "x"]),
    st.randoms(use_true_random=False),
)
@example([release(5, 3), release(6, 3), release(4, 3)], DAYS[2], 1, None, Random(0))  # noqa: S311 - an order
def test_choice_is_that_of_the_model(
    releases: list[Any], before: datetime | None, keep: int | None, plugin: str | None, random: Random
) -> None:
    """Whatever is listed, in whatever order and however often, what goes is what the model says, oldest first."""
    listed = releases + random.sample(releases, len(releases) // 2)
    random.shuffle(listed)
    found = choose(listed, before=before, keep=keep, plugin=plugin)
    assert {(each["id"], each["plugin"]) for each in found} == expected(releases, before, keep, plugin)
    assert len(found) == len({each["id"] for each in found})
    ages = [(each["created"], each["id"]) for each in found]
    assert ages == sorted(ages)


WRONG: list[tuple[Any, str]] = [
    ((None, None, None), "pruning needs older_than, keep or both, and would delete everything without"),
    ((None, None, "ocr"), "everything of 'ocr' without"),
    ((None, 0, None), "keep must be a whole number, 1 or more, not 0"),
    ((None, True, None), "keep must be"),
    (("30d", 1.0, None), "keep must be"),
    (("30d", None, ""), "plugin must be a plugin's code, not ''"),
    (("30d", None, 7), "plugin must be"),
    (("30", 2, "ocr"), "older_than takes"),
]


def test_without_a_criterion_nothing_is_pruned() -> None:
    """An age or a number is needed, a plugin alone is none, and what cannot be used is refused."""
    for criteria, message in WRONG:
        assert re.search(message, refusal(ValueError, check, *criteria, NOW))
    assert check("1d", None, None, NOW) == DAYS[1]
    assert check(None, 3, "ocr", NOW) is None
