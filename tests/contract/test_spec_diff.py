"""`tools/spec_diff.py` compares the API with a revision and checks the contract's version."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import ROOT

pytest.importorskip("griffe", reason="griffe is not installed: make test-heavy installs it")

from tools import spec_diff

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.heavy


def test_a_change_needs_its_version() -> None:
    """The most severe change or breakage determines which part of the version must be raised."""
    needs = [(set(), 0), ({"patch"}, 0), ({"patch", "minor"}, 0), ({"minor", "major"}, 0), ({"patch"}, 1), (set(), 3)]
    found = [spec_diff.needed_bump(impacts, breakages) for impacts, breakages in needs]
    assert found == ["none", "patch", "minor", "major", "major", "major"]
    raises = ["1.0.0 1.0.0", "1.0.0 1.0.1", "1.0.9 1.1.0", "1.9.9 2.0.0", "1.9.0 1.10.0", "2.0.0 1.9.9"]
    found = [spec_diff.given_bump(*each.split()) for each in raises]
    assert found == ["none", "patch", "minor", "major", "minor", "none"]
    enough = ["none none", "none patch", "minor minor", "major major", "major minor"]
    assert [each for each in enough if not spec_diff.is_enough(*each.split())] == []
    too_little = ["none minor", "patch minor", "minor major"]
    assert [each for each in too_little if spec_diff.is_enough(*each.split())] == []


def test_a_renamed_class_is_seen(tmp_path: Path) -> None:
    """Removing a generated class or an argument is reported as breaking."""
    for package, folder in spec_diff.PACKAGES.items():
        shutil.copytree(ROOT / folder / package, tmp_path / folder / package)
    assert spec_diff.surface_breakages(tmp_path) == []
    models = tmp_path / "generated" / "synapse_agent_api" / "models" / "health.py"
    models.write_text(models.read_text() + "\n\nclass Gone:\n    pass\n")
    plugin = tmp_path / "wrapper" / "synapse_agent_sdk" / "plugin_releases.py"
    plugin.write_text(plugin.read_text().replace("job_id: str | None = None,", "job_id: str | None = None, gone=1,"))
    lines = spec_diff.surface_breakages(tmp_path)
    assert any("Gone" in line for line in lines)
    assert any("gone" in line for line in lines)
