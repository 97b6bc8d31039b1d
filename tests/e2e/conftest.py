"""What the end-to-end tests share: a real local agent for each, and how programs are run against it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.register_assert_rewrite("tests.e2e.pages")

REPOSITORY = Path(__file__).parents[2]


class Run(Protocol):
    """Runs a command against the agent, and returns what it printed."""

    def __call__(self, *command: str, cwd: Path = ..., **variables: str) -> subprocess.CompletedProcess[str]:
        """Run it in `cwd` (the repository where left out), with further environment variables."""


@pytest.fixture
def repository() -> Path:
    """The root of this repository."""
    return REPOSITORY


@pytest.fixture
def agent() -> Iterator[ThreadedAgent]:
    """A local agent of the example plugins, which may run from any folder of the repository."""
    with ThreadedAgent(REPOSITORY / "examples" / "plugins", debug_roots=[REPOSITORY]) as agent:
        yield agent


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a newcomer: the commands of this virtual environment, and no settings of the SDK."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "PYTHON"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), ours["PATH"]])
    return {**ours, "PATH": path, "PYTHONWARNINGS": "error", "COLUMNS": "60"}


@pytest.fixture
def run(agent: ThreadedAgent, environment: dict[str, str]) -> Run:
    """Runs commands whose environment names the agent, as the README sets it."""

    def run(*command: str, cwd: Path = REPOSITORY, **variables: str) -> subprocess.CompletedProcess[str]:
        settings = {"SYNAPSE_AGENT_URL": agent.url, "SYNAPSE_AGENT_TOKEN": agent.token}
        return subprocess.run(  # noqa: S603 - commands of this repository
            command,
            cwd=cwd,
            env={**environment, **settings, **variables},
            text=True,
            capture_output=True,
            check=False,
            timeout=50,
        )

    return run
