"""The published package, which owns the same import name."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from synapse_sdk._conflict import find_published_package

if TYPE_CHECKING:
    from pathlib import Path


def import_with(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Import the SDK in a process of its own that has `folder` on its import path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
    program = "import synapse_sdk; print(synapse_sdk.__version__)"
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours


def test_the_published_package_beside_ours_is_reported(tmp_path: Path) -> None:
    """Importing the SDK beside the published package warns, names its folder, and says what to do."""
    (tmp_path / "synapse_sdk-1.0.dist-info").mkdir()
    result = import_with(tmp_path)
    assert result.returncode == 0
    warning, _, line = result.stderr.strip().partition("\n")
    assert warning.startswith("<string>:1: RuntimeWarning: The package synapse-sdk is installed")
    assert str(tmp_path) in warning
    assert "pip uninstall -y synapse-sdk synapse-agent-sdk && pip install synapse-agent-sdk" in warning
    assert "Traceback" not in line


def test_ours_alone_is_silent(tmp_path: Path) -> None:
    """Importing the SDK alone says nothing, even where warnings are errors."""
    (tmp_path / "synapse_agent_sdk-1.0.dist-info").mkdir()
    result = import_with(tmp_path, "-W", "error")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "is_found"),
    [
        ("synapse_sdk-2025.1.1rc1.dist-info", True),
        ("synapse_agent_sdk-1.0.dist-info", False),
        ("synapse_sdk-1.0", False),
        ("my_synapse_sdk-1.dist-info", False),
    ],
)
def test_the_published_package_is_told_from_others(tmp_path: Path, name: str, is_found: bool) -> None:
    """The folder of the published package is found behind empty and missing ones, and no package of another name."""
    (tmp_path / name).mkdir()
    (tmp_path / "library.zip").touch()
    found = find_published_package(["", str(tmp_path / "gone"), str(tmp_path / "library.zip"), str(tmp_path)])
    assert found == (str(tmp_path) if is_found else None)
