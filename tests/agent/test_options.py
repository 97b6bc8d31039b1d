"""The command `synapse-agent serve`: its options, and why it does not start."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synapse_agent_sdk.cli.app import app
from synapse_local_agent import Limits, server
from synapse_local_agent.processes.executor import LocalExecutor
from synapse_local_agent.ray.executor import OnRay
from typer.testing import CliRunner

from tests.agent.helpers import client_at, run_source, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from tests.agent.conftest import Serve

MIB = 2**20


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The arguments of a fake server; the signal handlers are restored afterwards."""
    given: dict[str, Any] = {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    class Server:
        def __init__(self, **options: Any) -> None:
            given.update(options)

        def serve_forever(self) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(server, "Server", Server)
    yield given
    for number, handler in handlers.items():
        signal.signal(number, handler)


def invoke(*arguments: str | Path) -> Result:
    """Call the command in this process."""
    return CliRunner().invoke(app, ["serve", *map(str, arguments)])


def test_options_become_limits(started: dict[str, Any], registry: Path, tmp_path: Path) -> None:
    """Each option for limits and retention applies, in the unit of its help text."""
    units: dict[int, dict[str, float]] = {
        1: {"run_timeout": 0.3, "max_running": 3, "max_queue": 4, "max_processes": 5, "idle_limit": 8, "max_idle": 9},
        MIB: {"max_memory": 150, "max_result": 6, "max_log": 7, "keep_runs_size": 10, "keep_environments_size": 11},
        86_400: {"keep_runs": 0.5, "keep_environments": 2},
    }
    given = {name: value for values in units.values() for name, value in values.items()}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    result = invoke("--registry", registry, "--data", tmp_path, "--token", "token", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Stopped.\n")
    expected: dict[str, Any] = {name: value * unit for unit, values in units.items() for name, value in values.items()}
    assert started["limits"] == Limits(**expected)


def test_defaults_and_further_options(started: dict[str, Any], registry: Path, tmp_path: Path) -> None:
    """Without options the limits are the defaults; the other options reach the server unchanged."""
    result = invoke("--registry", registry, "--data", tmp_path)
    assert result.stderr == f"The agent token is in {tmp_path / 'token'}\nStopped.\n"
    assert started["limits"] == Limits()
    assert Limits().max_running == os.cpu_count()
    assert (started["host"], started["port"], started["grace"], started["token"]) == ("127.0.0.1", 8600, 3, None)
    assert (started["debug_roots"], started["allowed_hosts"]) == ([Path()], [])
    assert started["executor"] is LocalExecutor
    further = "--host ::1 --port 7 --grace 0.5 --debug-root a --debug-root b --allowed-host c --executor ray"
    invoke("--registry", registry, "--token", "token", *further.split())
    assert (started["host"], started["port"], started["grace"], started["token"]) == ("::1", 7, 0.5, "token")
    assert (started["debug_roots"], started["allowed_hosts"]) == ([Path("a"), Path("b")], ["c"])
    assert isinstance(started["executor"], OnRay)
    assert started["limits"] == Limits(max_running=1000)


def test_option_that_makes_no_sense(started: dict[str, Any], registry: Path) -> None:
    """A limit under which nothing could run is exit code 2, and names the option."""
    for option in ("--run-timeout 0", "--max-running 0", "--max-queue -1", "--max-memory 0", "--idle-limit -1"):
        result = invoke("--registry", registry, *option.split())
        assert (result.exit_code, result.stdout) == (2, ""), option
        assert option.split()[0] in result.stderr
    assert started == {}


@pytest.mark.heavy
def test_options_of_a_process(serve: Serve) -> None:
    """A limit and the log level apply to the agent; its log goes to stderr, without the token."""
    process = serve("--max-result", "1", "--log-level", "info", SYNAPSE_AGENT_TOKEN="secret-token")
    with client_at(url_of(process), "secret-token") as http:
        answer = run_source(http, "def run(params): return 'x' * 2**20").json()
    process.terminate()
    err = process.communicate(timeout=120)[1]
    assert (answer["error_type"], f"limit of {MIB}" in answer["detail"]) == ("action_result_too_large", True)
    assert re.search(r"^[\d-]+ [\d:,]+ INFO POST /plugin_releases/run_debug/ 500 \d+\.\d ms$", err, re.MULTILINE)
    assert "secret-token" not in err


@pytest.mark.heavy
def test_page_names_the_options_that_there_are() -> None:
    """The page about runs lists exactly the options of `serve` for limits and retention."""
    page = (Path(__file__).parents[2] / "docs" / "running-actions.md").read_text(encoding="utf-8")
    there = set(re.findall(r"--[a-z-]+", invoke("--help").stdout))
    named = set(re.findall(r"`(--[a-z-]+)`", page))
    assert named <= there
    assert {name for name in there if re.match(r"--(max|keep|idle|run)-", name)} <= named
