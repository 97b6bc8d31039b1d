"""`LocalAgent`: an agent in a process of its own, which starts and stops with its owner."""

from __future__ import annotations

import gc
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_local_agent import DataInUseError, Limits, LocalAgent, RegistryError, TokenError
from synapse_local_agent.errors import RequirementsError

from tests.agent import helpers
from tests.agent.helpers import client_of, create, group_of, is_alive, result_of, run_source, until, write_plugin

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for this test's temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def process_of(agent: LocalAgent) -> int:
    """The agent's process as seen by an action: the parent of its worker's guard."""
    source = (
        "import os\ndef run(params): return open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1]"
    )
    with client_of(agent) as http:
        return int(result_of(run_source(http, source)))


def test_start_and_stop_leave_nothing(registry: Path, temporary: Path) -> None:
    """A stopped agent leaves no thread, process, file, port or folder behind, and can start again, but not twice."""
    agent = LocalAgent(registry)
    agent.stop()
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/dev/fd"))  # noqa: PTH208 - numbers, not paths
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not running"):
            _ = agent.url
        with agent:
            assert len(list(temporary.iterdir())) == 1
            with pytest.raises(RuntimeError, match="already running"):
                agent.start()
            process = process_of(agent)
            port = int(agent.url.rpartition(":")[2])
        agent.stop()
        assert not is_alive(process)
        assert set(threading.enumerate()) <= threads
        assert set(os.listdir("/dev/fd")) <= descriptors  # noqa: PTH208 - numbers, not paths
        assert list(temporary.iterdir()) == []
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_each_agent_has_a_token_and_data_of_its_own(registry: Path, temporary: Path) -> None:
    """Two agents are independent, and neither repr shows the token."""
    write_plugin(registry, "ocr", {"plugin.py": ""})
    with LocalAgent(registry) as one, LocalAgent(registry) as other, client_of(one) as http, client_of(other) as too:
        create(http, "ocr")
        assert too.get("/plugin_releases/").json()["count"] == 0
        assert too.get("/plugin_releases/", headers={"Authorization": one.token}).status_code == 401
        assert [stat.S_IMODE(folder.stat().st_mode) for folder in temporary.iterdir()] == [0o700] * 2
    assert len(one.token) >= 32
    assert one.token not in repr(one)


def test_stop_ends_running_actions(registry: Path, tmp_path: Path) -> None:
    """A run in progress ends with the agent, its caller gets a response, and its process is gone."""
    agent = LocalAgent(registry).start()
    with client_of(agent) as http, helpers.waiting_run(http, registry, tmp_path) as (process, answer):
        agent.stop()
        assert group_of(process) == set()
        assert answer.result().json()["error_type"] == "action_crashed"


def test_agent_ends_when_its_owner_is_killed(registry: Path, tmp_path: Path) -> None:
    """An agent outlives forks of its owner that stop it or exit, but not its owner, even if a fork survives."""
    (tmp_path / "temporary").mkdir()
    source = """
import os, signal, sys
from synapse_local_agent import LocalAgent
agent = LocalAgent(sys.argv[1]).start()
for stop in (agent.stop, sys.exit):
    if not (fork := os.fork()):
        stop()
        os._exit(0)
    assert os.waitpid(fork, 0)[1] == 0
if fork := os.fork():
    print(agent.url, fork, flush=True)
signal.pause()
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    command = [sys.executable, "-c", source, str(registry)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:  # noqa: S603 - ours
        assert owner.stdout is not None
        url, fork = owner.stdout.readline().split()
        try:
            assert httpx.get(f"{url}/health/").status_code == 200
            owner.kill()
            until(lambda: not list((tmp_path / "temporary").iterdir()))
            assert is_alive(int(fork))
        finally:
            os.kill(int(fork), signal.SIGKILL)


def test_agent_that_is_dropped_stops(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent without references stops, even while time is frozen in its owner."""
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    monkeypatch.setattr("time.time", lambda: 0.0)
    agent = LocalAgent(registry).start()
    process = process_of(agent)
    del agent
    gc.collect()
    assert not is_alive(process)


def fail(*_: object, **__: object) -> Any:
    """Make an executor that cannot start."""
    msg = "there is no cluster"
    raise RequirementsError(msg)


def test_what_keeps_it_from_starting_is_raised(
    registry: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that cannot start raises the original error type, in one line, and leaves nothing behind."""
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="in use"):
        LocalAgent(registry, port=listener.getsockname()[1]).start()
    with pytest.raises(RegistryError, match=f"{tmp_path}/nosuch is not a folder"):
        LocalAgent(tmp_path / "nosuch", data=data).start()
    with pytest.raises(RequirementsError, match="there is no cluster"):
        LocalAgent(registry, executor=fail).start()
    for token in ("", "a b", "tök", "a\n", "\x7f"):
        with pytest.raises(TokenError, match="ASCII"):
            LocalAgent(registry, data=data, token=token).start()
    with LocalAgent(registry, data=tmp_path / "a" / "data") as agent:
        with pytest.raises(DataInUseError, match="uses the data folder"):
            LocalAgent(registry, data=tmp_path / "a" / "data").start()
        assert httpx.get(f"{agent.url}/health/").status_code == 200
    write_plugin(registry, "fine", {})
    (write_plugin(registry, "ocr", {}) / "config.yaml").write_text("a: b: c\n")
    with pytest.raises(RegistryError) as caught:
        LocalAgent(registry, data=data).start()
    assert str(registry / "ocr" / "config.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.endswith("site-packages")])
    with pytest.raises(ImportError, match=r"pip install 'synapse-agent-sdk\[agent\]'"):
        LocalAgent(registry, data=data).start()
    assert not data.exists()
    assert list(temporary.iterdir()) == []


def test_options_reach_the_agent(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative folders, limits, names and token apply even after the owner changes its current folder."""
    monkeypatch.chdir(tmp_path)
    limits = Limits(max_result=50)
    with LocalAgent("registry", data="data", token="chosen", limits=limits, allowed_hosts=["agent.example"]) as agent:
        monkeypatch.chdir("/")
        assert agent.token == "chosen"
        with client_of(agent) as http:
            helpers.publish(http, registry, "def run(params): return 'x' * 100")
            assert helpers.run(http).json()["error_type"] == "action_result_too_large"
            for name, status in (("agent.example", 200), ("other.example", 400)):
                assert httpx.get(f"{agent.url}/health/", headers={"Host": name}).status_code == status
    assert (tmp_path / "data" / "agent.sqlite").exists()
