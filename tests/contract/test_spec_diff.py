"""The comparison of the API with an earlier revision: what needs a new version, and whether it got one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import ROOT
from tools import spec_diff

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("impacts", "breakages", "needed"),
    [
        (set(), 0, "none"),
        ({"patch"}, 0, "patch"),
        ({"patch", "minor"}, 0, "minor"),
        ({"minor", "major"}, 0, "major"),
        ({"patch"}, 1, "major"),
        (set(), 3, "major"),
    ],
)
def test_the_gravest_change_counts(impacts: set[str], breakages: int, needed: str) -> None:
    """The gravest change says which part of the version has to be raised; a broken class is as grave as any."""
    assert spec_diff.needed_bump(impacts, breakages) == needed


@pytest.mark.parametrize(
    ("before", "after", "given"),
    [
        ("1.0.0", "1.0.0", "none"),
        ("1.0.0", "1.0.1", "patch"),
        ("1.0.9", "1.1.0", "minor"),
        ("1.9.9", "2.0.0", "major"),
        ("1.9.0", "1.10.0", "minor"),
        ("2.0.0", "1.9.9", "none"),
    ],
)
def test_versions_are_compared_by_number(before: str, after: str, given: str) -> None:
    """Which part of a version was raised is told by its numbers, and a lower version is no raise."""
    assert spec_diff.given_bump(before, after) == given


@pytest.mark.parametrize(
    ("given", "needed", "enough"),
    [
        ("none", "none", True),
        ("none", "patch", True),
        ("none", "minor", False),
        ("patch", "minor", False),
        ("minor", "minor", True),
        ("minor", "major", False),
        ("major", "major", True),
        ("major", "minor", True),
    ],
)
def test_a_change_needs_its_version(given: str, needed: str, enough: bool) -> None:
    """An addition needs a new minor version, and a breaking change a new major one."""
    assert spec_diff.is_enough(given, needed) is enough


def test_a_renamed_class_is_seen(tmp_path: Path) -> None:
    """A generated class that is gone, and an argument that is gone, break callers."""
    for package, folder in spec_diff.PACKAGES.items():
        shutil.copytree(ROOT / folder / package, tmp_path / folder / package)
    assert spec_diff.surface_breakages(tmp_path) == []
    models = tmp_path / "generated" / "synapse_agent_api" / "models" / "health.py"
    models.write_text(models.read_text() + "\n\nclass Gone:\n    pass\n")
    plugin = tmp_path / "wrapper" / "synapse_sdk" / "clients" / "agent" / "plugin.py"
    plugin.write_text(plugin.read_text().replace("job_id: str | None = None,", "job_id: str | None = None, gone=1,"))
    lines = spec_diff.surface_breakages(tmp_path)
    assert any("Gone" in line for line in lines)
    assert any("gone" in line for line in lines)
