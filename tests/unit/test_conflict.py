"""The published package, which owns the same import name."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from synapse_sdk._conflict import find_published_package

if TYPE_CHECKING:
    from pathlib import Path


def import_with(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Import the SDK in a process of its own that has `folder` on its import path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)])}
    command = [sys.executable, *options, "-c", "import synapse_sdk"]
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


def test_the_published_package_is_told_from_others(tmp_path: Path) -> None:
    """The folder of the published package is found behind empty and missing ones, and no package of another name."""
    (tmp_path / "library.zip").touch()
    folders = ["", str(tmp_path / "gone"), str(tmp_path / "library.zip"), str(tmp_path)]
    for name in ("synapse_agent_sdk-1.0.dist-info", "synapse_sdk-1.0", "my_synapse_sdk-1.dist-info"):
        (tmp_path / name).mkdir()
    assert find_published_package(folders) is None
    (tmp_path / "synapse_sdk-2025.1.1rc1.dist-info").mkdir()
    assert find_published_package(folders) == str(tmp_path)
