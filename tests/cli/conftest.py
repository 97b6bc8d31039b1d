"""What the tests of the command line share: a real agent, and the program in a pipe or in a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from synapse_sdk.cli import app
from synapse_sdk.clients.agent import AgentClient

from tests.agent.helpers import write_plugin
from tests.cli.terminal import Terminal
from tests.threaded_agent import ThreadedAgent
from tests.wire.faults import FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    Capture = pytest.CaptureFixture[str]

PROGRAM = str(Path(sys.executable).with_name("synapse-agent"))
PLUGIN = """
import time
from pathlib import Path

def echo(params):
    return params

def text(params):
    return params["text"]

def fail(params):
    raise ValueError("the disk is gone")

def wait(params):
    Path(params["started"]).touch()
    while not Path(params["go"]).exists():
        time.sleep(0.01)
    return "done"
"""
ACTIONS = {name: f"plugin:{name}" for name in ("echo", "text", "fail", "wait")}


class Run(Protocol):
    """Runs the program in pipes, and returns what it said."""

    def __call__(
        self, *arguments: str | Path, stdin: str = "", **variables: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run it with variables of the environment; one that is None is left out."""


class OpenServer(Protocol):
    """Starts a server that gives answers of one's own."""

    def __call__(self, *answers: Any) -> FaultServer:
        """Start one that gives these answers, and the last one for ever."""


class Open(Protocol):
    """Runs the program in a terminal."""

    def __call__(
        self, *arguments: str | Path, columns: int = 100, stdout: int | None = None, **variables: str | None
    ) -> Terminal:
        """Start it with variables of the environment; one that is None is left out."""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedAgent]:
    """A local agent with the releases tool@1.0.0 and tool@1.1.0 cached; tests that share it leave them there."""
    registry = tmp_path_factory.mktemp("registry")
    for version in ("1.0.0", "1.1.0"):
        write_plugin(registry, "tool", {"plugin.py": PLUGIN}, ACTIONS, version, folder=f"tool-{version}")
    write_plugin(registry, "other", {"plugin.py": PLUGIN}, ACTIONS)
    with ThreadedAgent(registry, debug_roots=[registry]) as agent:
        with AgentClient(agent.url, agent.token) as client:
            for version in ("1.0.0", "1.1.0"):
                client.create_plugin_release("tool", version)
        yield agent


@pytest.fixture
def variables(agent: ThreadedAgent, tmp_path: Path) -> dict[str, str]:
    """The environment of someone whose variables lead to the agent."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "PYTHON", "XDG_"))}
    for name in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"):
        ours.pop(name, None)
    return {
        **ours,
        "HOME": str(tmp_path / "home"),
        "SYNAPSE_AGENT_URL": agent.url,
        "SYNAPSE_AGENT_TOKEN": agent.token,
        "PYTHONWARNINGS": "error",
    }


def _over(variables: dict[str, str], given: dict[str, str | None]) -> dict[str, str]:
    merged: dict[str, Any] = {**variables, **given}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.fixture
def run(variables: dict[str, str], tmp_path: Path) -> Run:
    """Runs the program in pipes, in a folder of its own."""

    def run(*arguments: str | Path, stdin: str = "", **given: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program
            [PROGRAM, *map(str, arguments)],
            input=stdin,
            env=_over(variables, given),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )

    return run


@pytest.fixture
def call(variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture) -> Run:
    """The same as `run` in this process, which takes a tenth of the time."""

    def call(*arguments: str | Path, stdin: str = "", **given: str | None) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name in set(os.environ) - set(variables):
                patch.delenv(name)
            for name, value in _over(variables, given).items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            patch.setattr("sys.argv", [PROGRAM, *map(str, arguments)])
            patch.setattr("sys.stdin", io.StringIO(stdin))
            handler = signal.getsignal(signal.SIGTERM)
            try:
                code = app.main()
            finally:
                signal.signal(signal.SIGTERM, handler)
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess([*map(str, arguments)], code, out, err)

    return call


@pytest.fixture
def open_server() -> Iterator[OpenServer]:
    """Starts servers that answer as they are told, and stops them after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *answers: stack.enter_context(FaultServer(list(answers)))


@pytest.fixture
def terminal(variables: dict[str, str]) -> Iterator[Open]:
    """Runs the program in terminals, which are closed at the end of the test."""
    opened: list[Terminal] = []

    def start(*arguments: str | Path, columns: int = 100, stdout: int | None = None, **given: str | None) -> Terminal:
        command = [PROGRAM, *map(str, arguments)]
        opened.append(Terminal(command, _over(variables, given), columns=columns, stdout=stdout))
        return opened[-1]

    yield start
    for each in opened:
        each.__exit__()
