"""`tools/generate.py --check` finds every difference in generated/ and changes nothing."""

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

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]  # runs the generator

MODEL = "synapse_agent_api/models/health.py"
CLIENT = "synapse_agent_api/client.py"
ERROR = "synapse_agent_api/models/error.py"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the generator's inputs and output, to modify."""
    for name in (*generate.INPUTS, "generated", "tools"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def changes(folder: Path) -> dict[Path, int]:
    """Return the modification time of each file and folder, except compiled Python."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if "__pycache__" not in str(path)}


def test_check_reports_all_and_touches_nothing(repository: Path) -> None:
    """The check lists every difference, including links and modes, and changes nothing.

    Compiled Python is ignored. Generating restores the committed tree.
    """
    output = repository / generate.OUTPUT
    (output / MODEL).write_text("changed = True\n")
    (output / MODEL).with_suffix(".pyc").write_bytes(b"")
    (output / CLIENT).write_bytes((output / CLIENT).read_bytes().rstrip(b"\n"))
    (output / ERROR).unlink()
    (output / "by_hand.py").write_text("")
    shutil.move(output / "synapse_agent_api" / "types.py", repository / "elsewhere.py")
    (output / "synapse_agent_api" / "types.py").symlink_to(repository / "elsewhere.py")
    (output / "synapse_agent_api" / "errors.py").chmod(0o755)
    before = changes(output)
    command = [sys.executable, "tools/generate.py"]
    check = subprocess.run([*command, "--check"], cwd=repository, text=True, capture_output=True, check=False)  # noqa: S603 - ours
    assert check.returncode == 1
    assert f"missing: {ERROR}\n" in check.stdout
    assert "not generated: by_hand.py\n" in check.stdout
    assert f"--- committed/{MODEL}\n" in check.stdout
    assert "-changed = True\n" in check.stdout
    assert f"line endings differ: {CLIENT}\n" in check.stdout
    assert "symbolic link: synapse_agent_api/types.py\n" in check.stdout
    assert "executable: synapse_agent_api/errors.py\n" in check.stdout
    assert ".pyc" not in check.stdout
    assert "make generate" in check.stderr
    assert changes(output) == before
    subprocess.run(command, cwd=repository, capture_output=True, check=True)  # noqa: S603 - ours
    assert generate.files(output) == generate.files(ROOT / generate.OUTPUT)
