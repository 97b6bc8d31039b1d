"""The demo and the quickstart: what a newcomer runs first."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Run


def test_demo_shows_every_step(repository: Path, tmp_path: Path, run: Run) -> None:
    """The demo runs from any folder, prints every line of every step, and ends well within 10 s."""
    demo = repository / "examples" / "demo.py"
    ended = run(sys.executable, str(demo), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    steps = [line.partition("  # raises ")[0] for line in runpy.run_path(str(demo))["STEPS"].splitlines() if line]
    shown = (line.removeprefix(">>> ").removeprefix("... ") for line in ended.stdout.splitlines())
    assert [line for line in steps if line not in shown] == []  # a generator: each is looked for after the one before
    seconds = re.search(r"Done in ([\d.]+) s", ended.stdout)
    assert seconds is not None
    assert float(seconds[1]) < 10


def test_demo_shows_what_came_back(repository: Path, run: Run) -> None:
    """The demo shows the releases, the action's result on the README, the error, and the empty cache."""
    shown = run(sys.executable, "examples/demo.py").stdout
    lines = len((repository / "README.md").read_text(encoding="utf-8").splitlines())
    assert "(1, 'text_stats', '1.0.0')" in shown
    assert shown.count(f"{{'lines': {lines},") == 2
    assert "There is no action 'analyse'. Actions: analyze." in " ".join(shown.split())
    assert shown.index('client.delete_plugin_release("text_stats@1.0.0")') < shown.index("\n0\n")


def test_demo_fits_a_narrow_terminal(run: Run) -> None:
    """In a terminal of 60 columns no line of the demo is broken by the terminal."""
    shown = run(sys.executable, "examples/demo.py", COLUMNS="60").stdout
    assert [line for line in shown.splitlines() if len(line) > 60] == []


@pytest.mark.parametrize(
    ("action", "step", "reason"),
    [
        (
            "def analyze(params): raise OSError('the disk is gone')",
            "    client.run_plugin_release(",
            "the disk is gone",
        ),
        ("analyze = analyse = len", '    client.run_plugin_release(1, "analyse")', "it was to raise ValidationError"),
    ],
    ids=["a step fails", "a step that is to fail succeeds"],
)
def test_demo_names_the_step_that_failed(
    repository: Path, tmp_path: Path, run: Run, action: str, step: str, reason: str
) -> None:
    """Where a step does not do what it says, the demo ends with 1, naming the step and the reason."""
    shutil.copytree(repository / "examples", tmp_path / "examples")
    shutil.copy(repository / "README.md", tmp_path)
    plugin = tmp_path / "examples" / "plugins" / "text_stats"
    (plugin / "text_stats" / "analyze.py").write_text(action, encoding="utf-8")
    with (plugin / "config.yaml").open("a", encoding="utf-8") as config:
        # The demo misspells the name: only where the source has such an action, the configuration has it too.
        config.write("  analyse: {entrypoint: 'text_stats.analyze:analyse'}\n" if "analyse" in action else "")
    ended = run(sys.executable, "examples/demo.py", cwd=tmp_path)
    assert ended.returncode == 1
    assert f"This step failed:\n{step}" in ended.stderr
    assert reason in ended.stderr
    assert "Done" not in ended.stdout


def test_demo_fails_where_the_agent_cannot_start(repository: Path, tmp_path: Path, run: Run) -> None:
    """Without a registry the demo ends with 1 at its first step, which says what is missing."""
    (tmp_path / "examples").mkdir()
    shutil.copy(repository / "examples" / "demo.py", tmp_path / "examples")
    ended = run(sys.executable, "examples/demo.py", cwd=tmp_path)
    assert ended.returncode == 1
    assert '    client = AgentClient.local("examples/plugins")' in ended.stderr
    assert "examples/plugins is not a folder: name one that holds plugins" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_quickstart_counts_the_words_of_the_readme(repository: Path, run: Run) -> None:
    """The quickstart starts its own agent and prints the number of words that the README really has."""
    ended = run(sys.executable, "examples/quickstart.py")
    assert (ended.returncode, ended.stderr) == (0, "")
    words = re.findall(r"[^\W\d_]+", (repository / "README.md").read_text(encoding="utf-8"))
    assert ended.stdout == f"The README has {len(words)} words.\n"
