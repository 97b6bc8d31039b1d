"""The types of the public names: what is wrong is rejected; that api.py is accepted is checked by `make types`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed: make test-heavy installs it")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]


def pyright(program: Path) -> set[tuple[int, str]]:
    """Check a program with pyright as this repository sets it up; return the lines with errors, and their rules."""
    command = [sys.executable, "-m", "pyright", "--outputjson", str(program)]
    ended = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)  # noqa: S603 - pyright
    report = json.loads(ended.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    found = report["generalDiagnostics"]
    return {(each["range"]["start"]["line"] + 1, each.get("rule", "")) for each in found if each["severity"] == "error"}


def expected(marks: str) -> dict[int, str]:
    """The lines of wrong_calls.txt that have one of the marks, and what stands behind it."""
    lines = enumerate((FOLDER / "wrong_calls.txt").read_text(encoding="utf-8").splitlines(), 1)
    found = {number: re.search(rf"  # [{marks}]: (\S+)$", line) for number, line in lines}
    return {number: match[1] for number, match in found.items() if match is not None}


@pytest.fixture
def wrong_calls(tmp_path: Path) -> Path:
    """What is wrong, as a program."""
    program = tmp_path / "wrong_calls.py"
    program.write_text((FOLDER / "wrong_calls.txt").read_text(encoding="utf-8"), encoding="utf-8")
    return program


def test_what_is_wrong_is_rejected(wrong_calls: Path) -> None:
    """Every wrong call is rejected by mypy --strict with the error that stands behind it, and nothing else is."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", "--show-error-codes"]
    command += ["--hide-error-context", "--config-file", "pyproject.toml", str(wrong_calls)]
    ended = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)  # noqa: S603 - mypy
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    found = {(int(line), kind) for line, kind in re.findall(r"\.py:(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)}
    wanted = expected("EM")
    assert set(wanted.items()) - found == set(), said
    assert {number for number, _ in found} - wanted.keys() == set(), said


def test_what_is_wrong_is_rejected_by_pyright_too(wrong_calls: Path) -> None:
    """Pyright rejects the same calls, and the keys that an agent may leave out, and nothing else."""
    found = pyright(wrong_calls)
    assert {number for number, _ in found} == expected("EP").keys()
    assert set(expected("P").items()) - found == set()
