"""Fixtures for the end-to-end tests: the repository and a new user's environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.e2e.pages")

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def environment() -> dict[str, str]:
    """A new user's environment: this virtual environment's commands, and no SDK settings."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "PYTHON"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), ours["PATH"]])
    return {**ours, "PATH": path, "PYTHONWARNINGS": "error", "COLUMNS": "60"}
