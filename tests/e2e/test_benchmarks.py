"""The benchmarks run, with tiny numbers and without time limits."""

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
from tests.e2e.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

AGENT = {
    "throughput": "runs_per_second",
    "cold_run": "cold_run_p50",
    "warm_runs": "keyed_run_over_health_p50",
}
"""Measurements that start a local agent each; the tests replace them, because they are slow."""


@pytest.mark.heavy
@pytest.mark.timeout(0)
def test_everything_is_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full run without package installation produces every number, median, curve, layer and picture."""
    monkeypatch.setattr(programs, "base_install", lambda: contextlib.nullcontext(sys.executable))
    for name, number in AGENT.items():
        monkeypatch.setattr(agent, name, lambda *_, number=number, **__: {number: 1.0})
    benchmarks.main([str(tmp_path), "--scale", "0.002"])
    results: dict[str, Any] = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))

    expected = {what for what, *_ in benchmarks.RATIOS} | {what for what, *_ in benchmarks.VALUES}
    assert expected == {row["what"] for row in results["rows"]}
    for row in results["rows"]:
        assert math.isfinite(row["value"]), row
        assert row["value"] > 0 or "memory" in row["what"] or "beyond" in row["what"], row
        assert row["what"] in benchmarks.table(results)
    for group, medians in results["medians"].items():
        assert medians, group
        assert all(seconds > 0 for seconds in medians.values()), group
    assert set(results["growth"]) == {"callers", "payload", "releases"}
    for curve in results["growth"].values():
        assert {"SDK", "httpx"} <= set(curve["points"])
        assert all(len(line) >= 2 and all(y > 0 for _, y in line) for line in curve["points"].values())
    assert list(results["layers"]["SDK"]) == list(results["layers"]["httpx"])
    assert results["layers"]["SDK"]["h11"] > 0
    assert {"python", "cores", "load"} <= set(results["machine"])
    assert str(REPOSITORY.parent) not in json.dumps(results)  # no local paths are published

    pictures = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
    assert set(pictures) == {"one-call.svg", "callers.svg", "payload.svg", "releases.svg"}
    for name, picture in pictures.items():
        ElementTree.fromstring(picture)  # noqa: S314 - ours
        assert "prefers-color-scheme: dark" in picture, name
        assert "SDK" in picture, name
