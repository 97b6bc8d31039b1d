"""The types of the public names: what a user writes is accepted, and what is wrong is rejected."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]


def mypy(program: Path, cache: Path) -> tuple[int, str]:
    """Check a program with mypy --strict as this repository sets it up; return its exit code and what it says."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", "--show-error-codes"]
    command += ["--hide-error-context", "--config-file", "pyproject.toml", "--cache-dir", str(cache), str(program)]
    ended = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)  # noqa: S603 - mypy
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def cache(pytestconfig: pytest.Config) -> Path:
    """Where mypy keeps what it knows, from one run of the tests to the next."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("mypy")


def test_what_a_user_writes_is_accepted(cache: Path) -> None:
    """Every call of api.py is accepted by mypy --strict, which infers the types that stand there."""
    assert mypy(FOLDER / "api.py", cache) == (0, "")


def test_what_is_wrong_is_rejected(tmp_path: Path, cache: Path) -> None:
    """Every wrong call is rejected by mypy --strict with the error that stands behind it, and nothing else is."""
    program = tmp_path / "wrong_calls.py"
    text = (FOLDER / "wrong_calls.txt").read_text(encoding="utf-8")
    program.write_text(text, encoding="utf-8")
    code, said = mypy(program, cache)
    assert code == 1
    found = {(int(line), kind) for line, kind in re.findall(r"\.py:(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)}
    lines = enumerate(text.splitlines(), 1)
    expected = {(number, line.rpartition("# E: ")[2]) for number, line in lines if "  # E: " in line}
    assert expected - found == set(), said
    assert {number for number, _ in found} - {number for number, _ in expected} == set(), said
