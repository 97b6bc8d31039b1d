"""Types of the public names: wrong calls are rejected. `make types` checks that api.py is accepted."""

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
    """Check a program with pyright; return the lines and rules of the errors."""
    command = [sys.executable, "-m", "pyright", "--outputjson", str(program)]
    ended = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)  # noqa: S603 - pyright
    report = json.loads(ended.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    found = report["generalDiagnostics"]
    return {(each["range"]["start"]["line"] + 1, each.get("rule", "")) for each in found if each["severity"] == "error"}


def expected(marks: str) -> dict[int, str]:
    """Return the lines of wrong_calls.txt with one of the marks, and the rule in each."""
    lines = enumerate((FOLDER / "wrong_calls.txt").read_text(encoding="utf-8").splitlines(), 1)
    found = {number: re.search(rf"  # [{marks}]: (\S+)$", line) for number, line in lines}
    return {number: match[1] for number, match in found.items() if match is not None}


@pytest.fixture
def wrong_calls(tmp_path: Path) -> Path:
    """The wrong calls as a program."""
    program = tmp_path / "wrong_calls.py"
    program.write_text((FOLDER / "wrong_calls.txt").read_text(encoding="utf-8"), encoding="utf-8")
    return program


def test_what_is_wrong_is_rejected(wrong_calls: Path) -> None:
    """Mypy --strict rejects exactly the wrong calls, with the expected error codes."""
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
    """Pyright rejects the same calls and access to optional keys, and nothing else."""
    found = pyright(wrong_calls)
    assert {number for number, _ in found} == expected("EP").keys()
    assert set(expected("P").items()) - found == set()
