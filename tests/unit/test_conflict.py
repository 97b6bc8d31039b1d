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
    assert warning.startswith("<string>:1: RuntimeWarning: ")
    assert str(tmp_path) in warning
    assert "pip uninstall -y synapse-sdk synapse-agent-sdk && pip install synapse-agent-sdk" in warning
    assert "Traceback" not in line


def test_ours_alone_is_silent(tmp_path: Path) -> None:
    """Importing the SDK alone says nothing, even where warnings are errors."""
    (tmp_path / "synapse_agent_sdk-1.0.dist-info").mkdir()
    (tmp_path / "synapse_sdk_extras-1.0.dist-info").mkdir()
    result = import_with(tmp_path, "-W", "error")
    assert (result.returncode, result.stderr) == (0, "")


def test_it_can_be_made_an_error(tmp_path: Path) -> None:
    """With warnings as errors the import stops there."""
    (tmp_path / "synapse_sdk-2025.1.1.dist-info").mkdir()
    result = import_with(tmp_path, "-W", "error::RuntimeWarning")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("RuntimeWarning: The package synapse-sdk is installed")


@pytest.mark.parametrize("name", ["synapse_sdk-1.0.dist-info", "synapse_sdk-2025.1.1rc1.dist-info"])
def test_the_folder_is_found(tmp_path: Path, name: str) -> None:
    """The folder in which the published package is installed is found among others."""
    (tmp_path / name).mkdir()
    (tmp_path / "empty").mkdir()
    assert find_published_package([str(tmp_path / "empty"), str(tmp_path)]) == str(tmp_path)


@pytest.mark.parametrize(
    "name", ["synapse_agent_sdk-1.0.dist-info", "synapse_sdk", "synapse_sdk-1.0", "my_synapse_sdk-1.dist-info"]
)
def test_other_packages_are_no_matter(tmp_path: Path, name: str) -> None:
    """Our own package, and others of similar names, are not taken for the published one."""
    (tmp_path / name).mkdir()
    assert find_published_package([str(tmp_path)]) is None


def test_what_is_no_folder_is_passed_over(tmp_path: Path) -> None:
    """Zip files and folders that do not exist, which import paths may hold, are no matter."""
    (tmp_path / "library.zip").touch()
    assert find_published_package([str(tmp_path / "library.zip"), str(tmp_path / "gone"), ""]) is None
