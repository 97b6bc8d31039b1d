"""Shared fixtures of the command-line tests: a real agent, and the program in a pipe or a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from synapse_agent_sdk import AgentClient
from synapse_agent_sdk.cli import app, completion, status

from tests.agent.helpers import write_plugin
from tests.cli.terminal import Screen
from tests.threaded_agent import ThreadedAgent
from tests.wire.faults import FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator

Environment = Callable[..., dict[str, str]]
Ended = subprocess.CompletedProcess[str]
Run = Callable[..., Ended]
"""Runs the program with arguments, `stdin` and variables (None unsets one); `at` is a server in place of the agent."""
Show = Callable[..., Screen]
"""Runs the program in this process, in a terminal with `columns`; for the rest see `Run` and `Screen.attached`."""
OpenServer = Callable[..., FaultServer]

PROGRAM = str(Path(sys.executable).with_name("synapse-agent"))
SECONDS = 120
PLUGIN = """
import time
from pathlib import Path

def echo(params):
    return params

def fail(params):
    raise ValueError("the disk is gone")

def wait(params):
    Path(params["started"]).touch()
    while not Path(params["go"]).exists():
        time.sleep(0.01)
    return "done"
"""
ACTIONS = {name: f"plugin:{name}" for name in ("echo", "fail", "wait")}
FOREIGN = ("SYNAPSE_", "PYTHON", "XDG_", "NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedAgent]:
    """A shared local agent with tool@1.0.0 and tool@1.1.0 cached; tests must not delete them."""
    registry = tmp_path_factory.mktemp("registry")
    write_plugin(registry, "other", {"plugin.py": PLUGIN}, ACTIONS)
    for version in ("1.0.0", "1.1.0"):
        write_plugin(registry, "tool", {"plugin.py": PLUGIN}, ACTIONS, version, folder=f"tool-{version}")
    with ThreadedAgent(registry, debug_roots=[registry]) as agent:
        with AgentClient(agent.url, agent.token) as client:
            for version in ("1.0.0", "1.1.0"):
                client.create_plugin_release("tool", version)
        yield agent


@pytest.fixture
def environment(agent: ThreadedAgent, tmp_path: Path) -> Environment:
    """Return a function that builds an environment for the agent, with overrides."""

    def environment(*, at: FaultServer | None = None, **given: str | None) -> dict[str, str]:
        merged: dict[str, str | None] = {
            **{name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)},
            "HOME": str(tmp_path / "home"),
            "TERM": "xterm-256color",
            "SYNAPSE_AGENT_URL": agent.url if at is None else at.url,
            "SYNAPSE_AGENT_TOKEN": agent.token,
            "PYTHONWARNINGS": "error",
            **given,
        }
        return {name: value for name, value in merged.items() if value is not None}

    return environment


@pytest.fixture
def run(environment: Environment, tmp_path: Path) -> Run:
    """Run the program in a separate process and folder, with pipes; `stdout` may be a file."""

    def run(*arguments: str, stdin: str = "", stdout: int = subprocess.PIPE, **given: Any) -> Ended:
        return subprocess.run(  # noqa: S603 - our own program
            [PROGRAM, *arguments],
            input=stdin,
            env=environment(**given),
            cwd=tmp_path,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def main(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run the program in this process, which is ten times as fast, and return its exit code."""
    monkeypatch.setattr(completion, "SECONDS", SECONDS)
    monkeypatch.setattr(status, "SECONDS", SECONDS)

    def main(arguments: tuple[str | Path, ...], given: dict[str, Any]) -> int:
        variables = mock.patch.dict(os.environ, environment(**given), clear=True)
        with variables, monkeypatch.context() as patch:
            patch.chdir(tmp_path)
            patch.setattr("sys.argv", [PROGRAM, *map(str, arguments)])
            handler = signal.getsignal(signal.SIGTERM)
            try:
                return app.main()
            except SystemExit as ended:  # raised by shell completion
                return int(ended.code or 0)
            finally:
                signal.signal(signal.SIGTERM, handler)

    return main


@pytest.fixture
def call(main: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Like `run`, but in this process."""

    def call(*arguments: str | Path, stdin: str = "", **given: Any) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO(stdin))
            code = main(arguments, given)
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return call


@pytest.fixture
def show(main: Callable[..., int]) -> Show:
    """Run the program in this process, in a terminal."""

    def show(*arguments: str, columns: int = 100, stdout: int | None = None, when: Any = None, **given: Any) -> Screen:
        screen = Screen(columns)
        with screen.attached(stdout, when):
            screen.code = main(arguments, given)
        return screen

    return show


@pytest.fixture
def open_server() -> Iterator[OpenServer]:
    """Start servers that give some answers and repeat the last one; stop them after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *answers: stack.enter_context(FaultServer(list(answers)))
