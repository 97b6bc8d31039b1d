"""generated/ is what the contract gives, and the check that says so misses nothing and touches nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import ROOT
from tools import generate

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "synapse_agent_api/models/health.py"
ERROR = "synapse_agent_api/models/error.py"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the contract gives today."""
    return generate.files(generate.generate(tmp_path_factory.mktemp("generated")))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of what the generator reads and writes, to be damaged."""
    for name in (*generate.INPUTS, "generated", "tools"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def check(repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the check on a repository, as `make check-generated` does."""
    command = [sys.executable, "tools/generate.py", "--check"]
    return subprocess.run(command, cwd=repository, text=True, capture_output=True, check=False)  # noqa: S603 - a fixed command


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and the time of its last change."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_generated_code_is_current(fresh: dict[str, bytes]) -> None:
    """What is committed is, byte for byte, what the contract gives."""
    assert generate.differences(fresh, generate.files(ROOT / generate.OUTPUT)) == []


def test_missing_file_is_reported(fresh: dict[str, bytes]) -> None:
    """A file that was deleted from the generated code is named."""
    committed = {name: content for name, content in fresh.items() if name != MODEL}
    assert generate.differences(fresh, committed) == [f"missing: {MODEL}"]


def test_extra_file_is_reported(fresh: dict[str, bytes]) -> None:
    """A file that the contract does not give is named."""
    assert generate.differences(fresh, {**fresh, "by_hand.py": b""}) == ["not from the contract: by_hand.py"]


def test_changed_file_is_reported(fresh: dict[str, bytes]) -> None:
    """A changed file is shown as a difference, with the line that changed."""
    lines = generate.differences(fresh, {**fresh, MODEL: fresh[MODEL] + b"by_hand = True\n"})
    assert lines[0] == f"--- committed/{MODEL}"
    assert "-by_hand = True" in lines


def test_cut_off_file_is_reported(fresh: dict[str, bytes]) -> None:
    """A file that lost its last line is reported, and so is one that lost nothing but its last line's end."""
    shorter = fresh[MODEL][: fresh[MODEL].rindex(b"\n", 0, -1) + 1]
    assert generate.differences(fresh, {**fresh, MODEL: shorter}) != []
    assert generate.differences(fresh, {**fresh, MODEL: fresh[MODEL].rstrip(b"\n")}) != []


def test_what_python_compiled_is_no_change(repository: Path) -> None:
    """What Python writes beside the code that it runs is not held against the contract."""
    output = repository / generate.OUTPUT
    (output / MODEL).with_suffix(".pyc").write_bytes(b"")
    (output / "__pycache__").mkdir()
    (output / "__pycache__" / "by_hand.py").write_text("")
    assert generate.differences(generate.files(ROOT / generate.OUTPUT), generate.files(output)) == []


def test_check_reports_all_and_touches_nothing(repository: Path) -> None:
    """The check of a damaged tree names every damage, links and modes too, and what to do, and touches nothing."""
    output = repository / generate.OUTPUT
    (output / MODEL).write_text("changed = True\n")
    (output / ERROR).unlink()
    (output / "by_hand.py").write_text("")
    shutil.move(output / "synapse_agent_api" / "types.py", repository / "elsewhere.py")
    (output / "synapse_agent_api" / "types.py").symlink_to(repository / "elsewhere.py")
    (output / "synapse_agent_api" / "errors.py").chmod(0o755)
    before = snapshot(repository)
    run = check(repository)
    assert run.returncode == 1
    assert f"missing: {ERROR}\n" in run.stdout
    assert "not from the contract: by_hand.py\n" in run.stdout
    assert "-changed = True\n" in run.stdout
    assert "a link, and no file of its own: synapse_agent_api/types.py\n" in run.stdout
    assert "can be executed: synapse_agent_api/errors.py\n" in run.stdout
    assert "make generate" in run.stderr
    assert snapshot(repository) == before


def test_generate_mends_a_damaged_tree(repository: Path, fresh: dict[str, bytes]) -> None:
    """Generating anew restores what was changed or missing, and removes what the contract does not give."""
    output = repository / generate.OUTPUT
    (output / MODEL).unlink()
    (output / "by_hand.py").write_text("")
    subprocess.run([sys.executable, "tools/generate.py"], cwd=repository, capture_output=True, check=True)
    assert generate.files(output) == fresh
