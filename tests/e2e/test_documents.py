"""The other documents: they are complete, and what they name is there."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from synapse_sdk import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Run


@pytest.fixture
def contributing(repository: Path) -> str:
    """The text of CONTRIBUTING.md."""
    return (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_each_dependency_has_its_reason(repository: Path, contributing: str) -> None:
    """CONTRIBUTING.md has one row, with a reason, for each dependency of pyproject.toml, and no other."""
    project: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = [re.split(r"[<>=~! ;]", each)[0] for group in groups for each in group]
    rows = re.findall(r"^\| (\w[\w\[\]-]*) \| \S.* \|$", contributing.partition("## Dependencies")[2], re.MULTILINE)
    assert sorted(name for name in rows if name != "package") == sorted(
        name for name in names if not name.startswith("synapse-agent-sdk")
    )


def test_each_kind_of_test_is_described(repository: Path, contributing: str) -> None:
    """CONTRIBUTING.md describes each folder of tests."""
    folders = {path.name for path in (repository / "tests").iterdir() if any(path.glob("*.py"))}
    assert {"e2e", "contract"} <= folders
    assert folders - set(re.findall(r"^\| `tests/(\w+)` \|", contributing, re.MULTILINE)) == set()


def test_changelog_has_this_version_and_its_contract(repository: Path) -> None:
    """CHANGELOG.md has an entry for the version of the SDK, which names the version of the contract."""
    changes = (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    contract = yaml.safe_load((repository / "openapi" / "agent.yaml").read_text(encoding="utf-8"))
    entry = changes.partition(f"\n## [{__version__}]")[2].partition("\n## ")[0]
    assert f"Speaks contract {contract['info']['version']}." in entry
    assert "### Added" in entry


def test_decisions_have_one_form(repository: Path) -> None:
    """Each decision has its number and the three headings, and none is missing in between."""
    decisions = sorted((repository / "docs" / "decisions").iterdir())
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}: ")
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_decisions_that_are_named_exist(repository: Path, run: Run) -> None:
    """Wherever a file of this repository names a decision by its number, there is one."""
    numbers = {path.name[:4] for path in (repository / "docs" / "decisions").iterdir()}
    named = re.findall(r"docs/decisions/(\d{4})", run("git", "grep", "-h", "docs/decisions/[0-9]").stdout)
    assert len(named) > 2
    assert set(named) - numbers == set()
