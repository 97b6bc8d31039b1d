"""The README and the other documents are complete, and everything they mention exists."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml
from synapse_agent_sdk import __version__, exceptions

from tests.e2e.conftest import REPOSITORY
from tests.e2e.pages import blocks

DOCUMENTS = REPOSITORY / "docs"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def shown(*command: str) -> str:
    """Return the output of a command in the repository."""
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout  # noqa: S603 - git, make


@pytest.mark.contract
def test_changelog_has_this_version_and_its_contract() -> None:
    """CHANGELOG.md has an entry for the SDK version, and its newest entry names the contract version."""
    changes = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    contract = yaml.safe_load((REPOSITORY / "openapi" / "agent.yaml").read_text(encoding="utf-8"))
    entry = changes.partition(f"\n## [{__version__}]")[2].partition("\n## ")[0]
    assert "### Added" in entry
    assert f"Speaks contract {contract['info']['version']}." in changes.split("\n## [")[1]


@pytest.mark.heavy
def test_each_dependency_has_its_reason() -> None:
    """CONTRIBUTING.md has a row with a reason for each dependency in pyproject.toml, and no others."""
    settings: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    project, tools = settings["project"], settings["dependency-groups"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    groups += [[each for each in tools[name] if isinstance(each, str)] for name in ("test", "docs", "dev")]
    names = [re.split(r"[<>=~! ;]", each)[0] for group in groups for each in group]
    rows = re.findall(r"^\| (\w[\w\[\]-]*) \| \S.* \|$", CONTRIBUTING.partition("## Dependencies")[2], re.MULTILINE)
    assert sorted(name for name in rows if name != "package") == sorted(
        name for name in names if not name.startswith("synapse-agent-sdk")
    )


@pytest.mark.heavy
def test_each_folder_is_described() -> None:
    """CONTRIBUTING.md describes each test folder, and the README's map lists exactly the folders."""
    folders = {path.name for path in (REPOSITORY / "tests").iterdir() if any(path.glob("*.py"))}
    assert {"e2e", "contract"} <= folders
    assert folders - set(re.findall(r"^\| `tests/(\w+)` \|", CONTRIBUTING, re.MULTILINE)) == set()
    (map_,) = (block.text for block in blocks(README) if block.language == "text")
    named = {line.split()[0] for line in map_.splitlines()}
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
    tracked = [name for name in shown("git", "ls-files").split() if "/" in name and not name.startswith(".")]
    assert {name.partition("/")[0] for name in tracked} == {name.partition("/")[0] for name in named if "/" in name}


@pytest.mark.heavy
def test_decisions_that_are_named_exist() -> None:
    """Every decision mentioned by number exists."""
    numbers = {path.name[:4] for path in (DOCUMENTS / "decisions").iterdir()}
    named = re.findall(r"docs/decisions/(\d{4})", shown("git", "grep", "-h", "docs/decisions/[0-9]"))
    assert named
    assert set(named) - numbers == set()


@pytest.mark.heavy
def test_make_targets_exist() -> None:
    """Every make command in the documents is a listed target, and the list fits a narrow terminal."""
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS.glob("*.md"))
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", README + CONTRIBUTING + pages, re.MULTILINE))
    listed = shown("make").splitlines()
    assert {first or second for first, second in named} - {line.split()[0] for line in listed} == set()
    assert [line for line in listed if len(line) > 60] == []


@pytest.mark.heavy
def test_the_readme_shows_what_there_is() -> None:
    """The README and the site's first page show the quickstart; the README shows the example plugin."""
    quickstart = (REPOSITORY / "examples" / "quickstart.py").read_text(encoding="utf-8")
    for page in (README, (DOCUMENTS / "index.md").read_text(encoding="utf-8")):
        assert f"```python\n{quickstart}```" in page
    (config,) = (yaml.safe_load(block.text) for block in blocks(README) if block.language == "yaml")
    example = REPOSITORY / "examples" / "plugins" / "text_stats" / "config.yaml"
    real = yaml.safe_load(example.read_text(encoding="utf-8"))
    assert config == {key: value for key, value in real.items() if key != "description"}
    assert [line for line in README.splitlines() if len(line) > 60] == []


@pytest.mark.heavy
def test_links_lead_somewhere() -> None:
    """Relative links in the top-level documents work, and the README links to each page of docs/."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = re.sub(r"```.*?```", "", (REPOSITORY / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        links = re.findall(r"\]\s?\(([^)#:]+)\)", text)
        assert [f"{name}: {link}" for link in links if not (REPOSITORY / link).exists()] == []
    pages = {path.name for path in DOCUMENTS.glob("*.md")} - {"index.md", "mutants.md"}
    assert pages - set(re.findall(r"\(docs/([\w-]+\.md)\)", README)) == set()


@pytest.mark.heavy
def test_error_tree_is_that_of_the_sdk() -> None:
    """docs/errors.md shows every error of the SDK under its base classes."""
    page = (DOCUMENTS / "errors.md").read_text(encoding="utf-8")
    (tree,) = (block.text for block in blocks(page) if block.language == "text")
    above: list[str] = []
    drawn = set()
    for line in tree.splitlines():
        match = re.search(r"\w+", line)
        assert match is not None
        depth = match.start() // 4
        above = [*above[:depth], match[0]]
        drawn.add((match[0], above[-2] if depth else None))
    real: set[tuple[str, str | None]] = {("ClientError", None)}
    for name in exceptions.__all__:
        real |= {(name, base.__name__) for base in getattr(exceptions, name).__bases__ if base is not Exception}
    assert drawn == real
    advised = set(re.findall(r"^- `(\w+)`: ", page, re.MULTILINE))
    assert {name for name, _ in real} - advised == {"ClientError", "HTTPError"}
