"""docs/adding-an-operation.md: applying its blocks passes the checks, and every block is necessary."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-an-operation.md").read_text(encoding="utf-8")
GATE = ("tests/contract/test_document.py", "tests/contract/test_facts.py")
LESS = ("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:xdist")


class Step(NamedTuple):
    """A block of the page that changes a file: the content before and after."""

    path: str
    before: str
    after: str

    def apply(self, tree: Path) -> None:
        """Change the file; the content before must occur exactly once."""
        path = tree / self.path
        text = path.read_text(encoding="utf-8")
        assert text.count(self.before) == 1, f"{path.name} has this {text.count(self.before)} times:\n{self.before}"
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def steps() -> list[Step]:
    """Return the blocks that change a file."""
    found = []
    for block in blocks("diff"):
        name, *lines = block.splitlines(keepends=True)
        sides = ["".join(line[1:] for line in lines if line[0] in marks) for marks in (" -", " +")]
        found.append(Step(name.removeprefix("+++ ").strip(), *sides))
    return found


STEPS = steps()
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]
# The commands under "If you forget a step", with the files of the skipped step.
FORGOTTEN = {
    "tools/generate.py": "generated",
    "tests/contract/test_update.py": "wrapper/",
    "tests/unit/test_parity.py": "async_plugin_releases.py",
    "tests/contract/test_agent.py": "handlers.py",
    "tests/contract/test_calls.py": "test_calls.py",
}
FORGOTTEN_TESTS = [name for name in FORGOTTEN if name.startswith("tests/")]


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in the copy of the repository."""
    packages = os.pathsep.join(str(tree / name) for name in ("wrapper", "wrapper/dropin", "generated", "agent"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "PYTEST_"))}
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, *arguments],
        cwd=tree,
        env={**environment, "PYTHONPATH": packages, "COLUMNS": "120"},
        text=True,
        capture_output=True,
        check=False,
    )


def copy(source: Path, target: Path) -> Path:
    """Copy a repository without hidden and built files."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
    return Path(shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the whole page applied."""
    tree = copy(ROOT, tmp_path_factory.mktemp("changed"))
    for step in STEPS:
        step.apply(tree)
    assert run(tree, "tools/generate.py").returncode == 0
    return tree


def test_the_page_passes_the_gates(changed: Path) -> None:
    """With the whole page applied, the checks of `make contract` pass and both clients have the method."""
    check = run(changed, "tools/generate.py", "--check")
    assert check.returncode == 0, check.stdout
    types = run(changed, "-m", "mypy", "--cache-dir", str(changed / ".mypy_cache"), "wrapper/synapse_agent_sdk")
    assert types.returncode == 0, types.stdout
    calls = run(changed, "-m", "pytest", *LESS, *GATE, *FORGOTTEN_TESTS)
    assert calls.returncode == 0, calls.stdout


def test_the_program_of_the_page_runs(changed: Path) -> None:
    """The page's program prints the expected output."""
    (program,) = blocks("python")
    done = run(changed, "-W", "error", "-c", program)
    assert done.stderr == ""
    assert done.stdout.splitlines() == re.findall(r"^ +# (.*)$", program, re.MULTILINE)


def test_the_wrapper_takes_fewer_than_twenty_lines() -> None:
    """The wrapper needs nineteen handwritten lines, as the page says."""
    wrapper = "".join(block for block in blocks("diff") if block.startswith("+++ wrapper/"))
    assert len(re.findall(r"^\+(?!\+).*\S", wrapper, re.MULTILINE)) == 19


@pytest.mark.parametrize("command", FORGOTTEN)
def test_what_is_forgotten_is_named(changed: Path, tmp_path: Path, command: str) -> None:
    """If one step is skipped, the check fails with the output shown on the page."""
    tree = copy(changed, tmp_path)
    if command == "tools/generate.py":
        shutil.rmtree(tree / "generated")
        shutil.copytree(ROOT / "generated", tree / "generated")
    for step in STEPS:
        if FORGOTTEN[command] in step.path:
            Step(step.path, step.after, step.before).apply(tree)
    shown = next(block for block in blocks("text") if command in block.partition("\n")[0])
    arguments = [command, "--check"] if command.startswith("tools/") else ["-m", "pytest", "-x", *LESS, command]
    done = run(tree, *arguments)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    lines = shown.splitlines()[1:]
    assert lines
    assert [line for line in lines if line not in said] == []
