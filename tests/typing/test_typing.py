"""The types of the public names: what a user writes is accepted, and what is wrong is rejected."""

from __future__ import annotations

import json
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


def test_what_a_user_writes_is_accepted(cache: Path) -> None:
    """Every call of api.py is accepted by mypy --strict, which infers the types that stand there."""
    assert mypy(FOLDER / "api.py", cache) == (0, "")


def test_what_a_user_writes_is_accepted_by_pyright_too() -> None:
    """Every call of api.py is accepted by pyright, which infers the same types."""
    assert pyright(FOLDER / "api.py") == set()


def test_what_is_wrong_is_rejected(wrong_calls: Path, cache: Path) -> None:
    """Every wrong call is rejected by mypy --strict with the error that stands behind it, and nothing else is."""
    code, said = mypy(wrong_calls, cache)
    assert code == 1
    found = {(int(line), kind) for line, kind in re.findall(r"\.py:(\d+): error: .*\[([a-z-]+)\]$", said, re.MULTILINE)}
    wanted = expected("EM")
    assert set(wanted.items()) - found == set(), said
    assert {number for number, _ in found} - wanted.keys() == set(), said


def test_what_is_wrong_is_rejected_by_pyright_too(wrong_calls: Path) -> None:
    """Pyright rejects the same calls, and the keys that an agent may leave out, and nothing else."""
    found = pyright(wrong_calls)
    assert {number for number, _ in found} == expected("EP").keys()
    assert set(expected("P").items()) - found == set()
