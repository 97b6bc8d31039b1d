"""Pruning chooses the same releases as an independent model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_agent_sdk.pruning import check, choose

from tests.unit.helpers import refusal

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def release(number: Any, days: float, plugin: Any = "ocr") -> dict[str, Any]:
    """A release cached some days ago."""
    created = (NOW - timedelta(days=days)).isoformat()
    return {"id": number, "plugin": plugin, "version": f"1.0.{number}", "created": created}


def chosen(releases: list[Any], before: datetime | None = None, keep: int | None = None) -> list[Any]:
    """The ids of the chosen releases."""
    return [each["id"] for each in choose(releases, before=before, keep=keep, plugin=None)]


DAYS = {days: NOW - timedelta(days=days) for days in range(10)}


def test_a_release_without_a_valid_age_or_id_stays() -> None:
    """A release whose age, id or plugin is invalid stays, and does not count towards keep."""
    times = (None, "", "yesterday", "2020-01-01T00:00:00", "2020-13-01T00:00:00Z", 1577836800, ["2020"])
    ids = (None, "7", "ocr@1.0.0", "..", 7.0, True, -1, [7])
    undated = {name: value for name, value in release(1, 9).items() if name != "created"}
    unknown: list[Any] = [
        *({**release(1, 9), "created": created} for created in times),
        *(release(number, 9) for number in ids),
        *(None, 7, "ocr@1.0.0", [], {}, {"id": 7}, undated, release(1, 9, plugin=None)),
    ]
    for each in unknown:
        assert chosen([each, release(2, 9)], DAYS[0]) == [2], each
        assert chosen([each, release(3, 8), release(4, 7)], keep=2) == [], each
    for created in ("2020-01-01t00:00:00z", "2020-01-01 00:00:00.123456789+09:00"):
        assert chosen([{**release(1, 9), "created": created}], DAYS[0]) == [1], created
    recached = [release(2, 9), release(2, 1)]  # another release with the same id, cached in the meantime
    assert chosen(recached, DAYS[5]) == chosen(recached[::-1], DAYS[5]) == []


def expected(
    releases: list[dict[str, Any]], before: datetime | None, keep: int | None, plugin: str | None
) -> set[tuple[int, str]]:
    """The model: judges each release separately."""
    going = set()
    for each in releases:
        if plugin not in {None, each["plugin"]}:
            continue
        mine = (datetime.fromisoformat(each["created"]), each["id"])
        peers = [peer for peer in releases if peer["plugin"] == each["plugin"]]
        newer = sum((datetime.fromisoformat(peer["created"]), peer["id"]) > mine for peer in peers)
        if (before is None or mine[0] < before) and (keep is None or newer >= keep):
            going.add((each["id"], each["plugin"]))
    return going


MADE = st.builds(release, st.integers(0, 50), st.integers(0, 9), st.sampled_from(["ocr", "seg", "ocr2"]))
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
def test_the_choice_matches_the_model(
    releases: list[Any], before: datetime | None, keep: int | None, plugin: str | None, random: Random
) -> None:
    """For any list, in any order and with duplicates, the choice matches the model, oldest first."""
    listed = releases + random.sample(releases, len(releases) // 2)
    random.shuffle(listed)
    found = choose(listed, before=before, keep=keep, plugin=plugin)
    assert {(each["id"], each["plugin"]) for each in found} == expected(releases, before, keep, plugin)
    assert len(found) == len({each["id"] for each in found})
    ages = [(each["created"], each["id"]) for each in found]
    assert ages == sorted(ages)


def test_pruning_needs_valid_criteria() -> None:
    """Pruning needs an age or a number, not just a plugin, and rejects invalid values."""
    wrong: list[tuple[Any, str]] = [
        ((None, None, None), "pruning needs older_than, keep or both: without them it would delete every release"),
        ((None, None, "ocr"), "every release of 'ocr'"),
        *(((None, keep, None), f"keep must be an integer of at least 1, not {keep}") for keep in (0, True, 1.0)),
        *((("30d", None, plugin), f"plugin must be a plugin code, not {plugin!r}") for plugin in ("", 7)),
        (("30", 2, "ocr"), "older_than must be an age"),
    ]
    for criteria, message in wrong:
        assert message in refusal(ValueError, check, *criteria, NOW)
    assert check("1d", None, None, NOW) == DAYS[1]
    assert check(None, 3, "ocr", NOW) is None
