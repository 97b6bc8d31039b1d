"""The demo."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.e2e.conftest import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]


def steps() -> list[str]:
    """Return the lines of the demo's steps, as the demo prints them."""
    text: str = runpy.run_path(str(REPOSITORY / "examples" / "demo.py"))["STEPS"]
    return [line.partition("  # raises ")[0] for line in text.splitlines() if line]


def run(repository: Path, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a repository's demo in a folder."""
    command = [sys.executable, str(repository / "examples" / "demo.py")]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - the demo


def test_demo_shows_every_step(tmp_path: Path, environment: dict[str, str]) -> None:
    """The demo runs in any folder and prints every step with its result, in 60 columns."""
    ended = run(REPOSITORY, tmp_path, environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    shown = ended.stdout
    lines = (line.removeprefix(">>> ").removeprefix("... ") for line in shown.splitlines())
    assert [line for line in steps() if line not in lines] == []  # a generator, so the order is checked too
    count = len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines())
    assert "(1, 'text_stats', '1.0.0')" in shown
    assert shown.count(f"{{'lines': {count},") == 2
    assert "There is no action 'analyse'. Actions: analyze." in " ".join(shown.split())
    assert shown.index('client.delete_plugin_release("text_stats@1.0.0")') < shown.index("\n0\n")
    assert [line for line in shown.splitlines() if len(line) > 60] == []


def test_demo_names_the_step_that_failed(tmp_path: Path, environment: dict[str, str]) -> None:
    """If a step fails, the demo exits with 1 and prints the step and the reason."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    shutil.copy(REPOSITORY / "README.md", tmp_path)
    action = tmp_path / "examples" / "plugins" / "text_stats" / "text_stats" / "analyze.py"
    action.write_text("def analyze(params): raise OSError('the disk is gone')", encoding="utf-8")
    ended = run(tmp_path, tmp_path, environment)
    assert ended.returncode == 1
    assert "This step failed:\n    client.run_plugin_release(" in ended.stderr
    assert "the disk is gone" in ended.stderr
    assert "Done" not in ended.stdout


def test_the_recording_is_of_the_demo_as_it_stands() -> None:
    """docs/pictures/demo.svg shows the current demo; `make pictures` updates it."""
    picture = (REPOSITORY / "docs" / "pictures" / "demo.svg").read_text(encoding="utf-8")
    shown = "".join(ElementTree.fromstring(picture).itertext())  # noqa: S314 - our own file
    assert [line for line in steps() if line not in shown] == []
