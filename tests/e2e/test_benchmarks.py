"""The benchmarks measure, with tiny numbers here; no test looks at a time."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import agent, programs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)
"""All is measured once, which takes 15 s on two cores that are idle."""

AGENT = {
    "throughput": "runs_per_second",
    "cold_run": "cold_run_p50",
    "warm_runs": "keyed_run_over_health_p50",
}
"""Measures of the local agent that start one each, which is as slow as all the rest."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a run of everything gives, without what needs a package index, and with one look at the local agent."""
    with pytest.MonkeyPatch.context() as patch:
        folder: Path = tmp_path_factory.mktemp("bench")
        patch.setattr(programs, "base_install", lambda: contextlib.nullcontext(sys.executable))
        for name, number in AGENT.items():
            patch.setattr(agent, name, lambda *_, number=number, **__: {number: 1.0})
        benchmarks.main([str(folder), "--scale", "0.002"])
        found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        found["pictures"] = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")}
        yield found


def test_each_target_has_a_number(results: dict[str, Any]) -> None:
    """Every row of the table has a number above zero, but for memory, which may not rise at all."""
    whats = [row["what"] for row in results["rows"]]
    expected = {what for what, *_ in benchmarks.RATIOS} | {what for what, *_ in benchmarks.VALUES}
    assert expected == set(whats)
    for row in results["rows"]:
        assert math.isfinite(row["value"]), row
        assert row["value"] > 0 or "memory" in row["what"] or "beyond" in row["what"], row
        assert row["what"] in benchmarks.table(results)


def test_each_median_and_each_curve_has_numbers(results: dict[str, Any]) -> None:
    """Whatever is compared was measured, at each point."""
    for group, medians in results["medians"].items():
        assert medians, group
        assert all(seconds > 0 for seconds in medians.values()), group
    assert set(results["growth"]) == {"callers", "payload", "releases"}
    for curve in results["growth"].values():
        assert {"SDK", "httpx"} <= set(curve["points"])
        assert all(len(line) >= 2 and all(y > 0 for _, y in line) for line in curve["points"].values())


def test_the_layers_add_up_to_a_call(results: dict[str, Any]) -> None:
    """The layers of ours and of raw httpx are the same, and each was measured."""
    assert list(results["layers"]["SDK"]) == list(results["layers"]["httpx"])
    assert results["layers"]["SDK"]["h11"] > 0


def test_pictures_are_drawn_from_the_numbers(results: dict[str, Any]) -> None:
    """Each picture is SVG, has a word for each line that it draws, and colours for light and dark."""
    assert set(results["pictures"]) == {"one-call.svg", "callers.svg", "payload.svg", "releases.svg"}
    for name, picture in results["pictures"].items():
        ElementTree.fromstring(picture)  # noqa: S314 - ours
        assert "prefers-color-scheme: dark" in picture
        assert "SDK" in picture, name


def test_machine_is_told_without_its_paths(results: dict[str, Any], repository: Path) -> None:
    """What is published names Python and the cores of the machine, and no path of it."""
    assert {"python", "cores", "load"} <= set(results["machine"])
    assert str(repository.parent) not in json.dumps(results)
