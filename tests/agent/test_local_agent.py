"""Starting and stopping an agent within a program."""

from __future__ import annotations

import gc
import os
import socket
import stat
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
from synapse_local_agent import LocalAgent, RegistryError, TokenError

from tests.agent.helpers import (
    client_of,
    create,
    detail,
    group_of,
    process_in,
    result_of,
    run_source,
    until,
    write_plugin,
    write_waiting_plugin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which this test's temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def no_resource_warnings() -> Iterator[None]:
    """Fail where something is collected that was not closed."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield
        gc.collect()
    assert [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)] == []


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - these are numbers, not paths


@pytest.mark.usefixtures("no_resource_warnings")
def test_start_and_stop_leave_nothing(registry: Path, temporary: Path) -> None:
    """An agent that ran actions and was stopped leaves no thread, process, open file or folder; it can start again."""
    agent = LocalAgent(registry)
    threads, open_before = set(threading.enumerate()), descriptors()
    processes = []
    for _ in range(3):
        with agent, client_of(agent) as http:
            assert len(list(temporary.iterdir())) == 1
            source = "import os\ndef run(params): return os.getpid()"
            processes.append(result_of(run_source(http, source)))
        until(lambda: set(threading.enumerate()) <= threads)
        assert descriptors() <= open_before  # fewer where an earlier test's connection has ended meanwhile
    assert [group_of(process) for process in processes] == [set()] * 3
    assert list(temporary.iterdir()) == []


def test_start_twice_is_an_error_and_stop_twice_is_none(registry: Path) -> None:
    """An agent that runs cannot be started; one that was stopped, or never started, can be stopped."""
    agent = LocalAgent(registry)
    agent.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = agent.url
    with agent:
        with pytest.raises(RuntimeError, match="is running already"):
            agent.start()
        assert httpx.get(f"{agent.url}/health/").status_code == 200
    agent.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = agent.url


def test_repr_shows_no_token(registry: Path) -> None:
    """The token is made anew for each agent, and not shown by its repr."""
    first, second = LocalAgent(registry), LocalAgent(registry)
    assert len(first.token) >= 32
    assert first.token != second.token
    assert first.token not in repr(first)


def test_stop_ends_running_actions(registry: Path, tmp_path: Path) -> None:
    """A run in progress ends with the agent, its caller gets an answer, and its process is gone."""
    write_waiting_plugin(registry)
    params = {"started": str(tmp_path / "started"), "go": str(tmp_path / "never")}
    agent = LocalAgent(registry).start()
    with client_of(agent) as http, ThreadPoolExecutor() as pool:
        create(http, "waiting")
        run = pool.submit(http.post, "/plugin_releases/1/run/", json={"action": "wait", "params": params})
        process = process_in(tmp_path / "started")
        agent.stop()
        assert group_of(process) == set()
        response = run.result()
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    assert detail(response) == "The agent was stopped during the run."


def test_two_agents_know_nothing_of_each_other(registry: Path) -> None:
    """Each agent has its own port, token and releases."""
    write_plugin(registry, "ocr", {"plugin.py": ""})
    with LocalAgent(registry) as one, LocalAgent(registry) as other, client_of(one) as http, client_of(other) as too:
        create(http, "ocr")
        assert too.get("/plugin_releases/").json()["count"] == 0
        assert too.get("/plugin_releases/", headers={"Authorization": one.token}).status_code == 401


@pytest.mark.usefixtures("no_resource_warnings")
def test_port_in_use_is_an_error(registry: Path, temporary: Path) -> None:
    """An agent on a port that is in use does not start, leaves no folder, and starts once the port is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        agent = LocalAgent(registry, port=port)
        with pytest.raises(OSError, match="in use"):
            agent.start()
        assert list(temporary.iterdir()) == []
    with agent:
        assert agent.url == f"http://127.0.0.1:{port}"


def test_missing_registry_is_an_error(tmp_path: Path, temporary: Path) -> None:
    """A registry that is not there, or no folder, is an error that names it, and nothing is made."""
    (tmp_path / "file").touch()
    for place in (tmp_path / "nosuch", tmp_path / "file"):
        with pytest.raises(RegistryError, match=f"{place} is not a folder"):
            LocalAgent(place, data=tmp_path / "data").start()
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "data").exists()


def test_broken_plugin_stops_the_start(registry: Path, tmp_path: Path) -> None:
    """A config.yaml that does not parse is an error at the start, in one line that names it; nothing is made."""
    write_plugin(registry, "fine", {})
    (write_plugin(registry, "ocr", {}) / "config.yaml").write_text("a: b: c\n")
    with pytest.raises(RegistryError) as caught:
        LocalAgent(registry, data=tmp_path / "data").start()
    assert str(registry / "ocr" / "config.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("token", ["", " ", "a b", "tök", "a\n", "\x7f"])
def test_token_that_no_header_takes_is_an_error(registry: Path, tmp_path: Path, token: str) -> None:
    """A token that is empty, or has other than visible ASCII characters, is refused and not shown; nothing is made."""
    with pytest.raises(TokenError) as caught:
        LocalAgent(registry, data=tmp_path / "data", token=token).start()
    assert "ASCII" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_other_files_in_a_registry_are_no_plugins(registry: Path) -> None:
    """Files, hidden folders, and folders without a config.yaml do not trouble a registry."""
    (registry / "README.md").touch()
    (registry / "empty").mkdir()
    (registry / "link").symlink_to("nosuch")
    (registry / ".git").mkdir()
    (registry / "odd" / "config.yaml").mkdir(parents=True)
    with LocalAgent(registry) as agent:
        assert httpx.get(f"{agent.url}/health/").status_code == 200


def test_data_is_for_its_owner_alone(registry: Path, tmp_path: Path) -> None:
    """The data folder that an agent makes can be entered by its owner alone."""
    with LocalAgent(registry, data=tmp_path / "a" / "data"):
        assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700


def test_actions_run_with_the_agent_s_python(registry: Path) -> None:
    """Actions run with the Python that the agent runs with."""
    with LocalAgent(registry) as agent, client_of(agent) as http:
        assert result_of(run_source(http, "import sys\ndef run(params): return sys.executable")) == sys.executable


def test_relative_folders_are_taken_at_the_start(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry and a data folder by relative paths still serve when the program changes its current folder."""
    write_plugin(registry, "ocr", {"plugin.py": "def run(params, context): return context.work_dir.is_absolute()"})
    monkeypatch.chdir(tmp_path)
    with LocalAgent("registry", data="data") as agent, client_of(agent) as http:
        monkeypatch.chdir("/")
        create(http, "ocr")
        assert result_of(http.post("/plugin_releases/1/run/", json={"action": "run"})) is True
    assert (tmp_path / "data" / "agent.sqlite").exists()


def test_answers_are_not_held_back(registry: Path) -> None:
    """Twenty answers in a row over one connection take no 40 ms each, as they do where TCP holds back small packets."""
    with LocalAgent(registry) as agent, client_of(agent) as http:
        http.get("/health/")
        started = time.monotonic()
        for _ in range(20):
            http.post("/plugin_releases/", json={"plugin": "nosuch", "version": "1"})
        assert time.monotonic() - started < 0.6
