"""What becomes of actions that take more than they may, and that nothing of them is left. The agent survives all."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_local_agent import Limits

from tests.agent.helpers import (
    PROC,
    client_at,
    client_of,
    create,
    detail,
    is_alive,
    process_in,
    result_of,
    run_source,
    until,
    url_of,
    write_plugin,
)
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.agent.conftest import Serve

MIB = 2**20


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an agent whose runs may take little."""
    limits = Limits(run_timeout=2, max_memory=150 * MIB, max_processes=12, max_result=1000, max_log=MIB, max_running=4)
    with ThreadedAgent(tmp_path_factory.mktemp("empty"), limits=limits) as agent, client_of(agent) as http:
        yield http


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an agent whose actions have half a second."""
    with (
        ThreadedAgent(tmp_path_factory.mktemp("empty"), limits=Limits(run_timeout=0.5)) as agent,
        client_of(agent) as http,
    ):
        yield http


ENDLESS = {
    "waits": "time.sleep(60)",
    "computes": "while True: pass",
    "holds the interpreter": "re.match('(a+)+$', 'a' * 40 + 'b')",
    "ignores signals": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)]\n    time.sleep(60)",
    "has stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "waits in a coroutine": "asyncio.run(asyncio.sleep(60))",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_action_that_takes_too_long(hasty: httpx.Client, tmp_path: Path, source: str) -> None:
    """An action that runs on after its time is 504 action_timeout, whatever it does, and the next run works."""
    head = "import asyncio, os, pathlib, re, signal, time\ndef run(params):\n"
    head += "    pathlib.Path(params['file']).write_text(str(os.getpid()))\n    "
    started = time.monotonic()
    response = run_source(hasty, head + source, {"file": str(tmp_path / "process")})
    assert time.monotonic() - started < 5
    assert (response.status_code, response.json()["error_type"]) == (504, "action_timeout")
    assert detail(response) == "The action took longer than 0.5 s, and was ended with all of its processes."
    assert not is_alive(int((tmp_path / "process").read_text()))
    assert result_of(run_source(hasty, "def run(params): return 1")) == 1


STARTED = {
    "child": "subprocess.Popen(command)",
    "child that ignores signals": "subprocess.Popen(['sh', '-c', 'trap \"\" HUP INT TERM; ' + line])",
    "child in a session of its own": "subprocess.Popen(command, start_new_session=True, env={})",
    "daemon": "subprocess.run(['setsid', 'sh', '-c', '(' + line + ') &'], env={'PATH': os.defpath})",
    "fork": "os.fork() or (os.setsid(), open(file, 'w').write(str(os.getpid())), time.sleep(60))",
}
ENDS = {
    "result": "return 1",
    "failure": "raise ValueError",
    "exit": "os._exit(3)",
    "segfault": "ctypes.string_at(0)",
    "timeout": "time.sleep(60)",
    "kill of its group": "os.killpg(0, signal.SIGKILL)",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("start", STARTED.values(), ids=STARTED)
def test_nothing_outlives_its_run(hasty: httpx.Client, tmp_path: Path, start: str, end: str) -> None:
    """Whatever an action started is gone once its run is answered, whichever its session, however the run ended."""
    file = tmp_path / "process"
    source = f"""
import ctypes, os, signal, subprocess, time
def run(params):
    file = {str(file)!r}
    line = 'echo $$ > ' + file + '; sleep 60; true'
    command = ['sh', '-c', line]
    {start}
    while not (os.path.exists(file) and open(file).read()): time.sleep(0.01)
    {end}
"""
    run_source(hasty, source)
    assert not is_alive(process_in(file))


EXCESS: dict[str, tuple[str, str]] = {
    "memory": ("data = []\n    while True: data.append(b'x' * 2**22)\n", "bytes of memory"),
    "memory of children": (
        "for _ in range(3): os.fork() or (bytearray(os.urandom(2**20) * 80), time.sleep(60))\n    time.sleep(60)",
        "bytes of memory",
    ),
    "processes": (
        "while True:\n        if not os.fork(): time.sleep(60)\n        time.sleep(0.005)",
        "processes, more than",
    ),
    "endless forks": ("while True:\n        os.fork()\n        time.sleep(0.05)", "processes, more than"),
    "output": ("while True: print('x' * 1000)", "printed more than the limit of 1048576 bytes"),
}


@pytest.mark.parametrize(("source", "expected"), EXCESS.values(), ids=EXCESS)
def test_action_that_takes_too_much(strict: httpx.Client, source: str, expected: str) -> None:
    """An action that takes more memory, processes or log than it may is action_crashed, and the next run works."""
    response = run_source(strict, f"import os, time\ndef run(params):\n    {source}")
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed"), response.text
    assert expected in detail(response)
    assert result_of(run_source(strict, "def run(params): return 1")) == 1


def test_shared_memory_counts_once(strict: httpx.Client) -> None:
    """What forked processes share counts once, so that several of them may use what one has loaded."""
    source = "import os, time\ndef run(params):\n    data = os.urandom(2**20) * 60\n"
    source += "    for _ in range(3): os.fork() or time.sleep(60)\n    time.sleep(0.5)\n    return len(data)"
    assert result_of(run_source(strict, source)) == 60 * MIB


def test_result_that_is_too_large(strict: httpx.Client) -> None:
    """A result with more JSON than may be is action_result_too_large, and says how large it is."""
    response = run_source(strict, "def run(params): return 'x' * 999")
    assert (response.status_code, response.json()["error_type"]) == (500, "action_result_too_large")
    assert "1001 bytes" in detail(response)
    assert result_of(run_source(strict, "def run(params): return 'x' * 998")) == "x" * 998


@pytest.mark.parametrize(
    ("env", "seen"),
    [
        ({"MODE": "fast", "N": 4, "RATE": 0.5, "ON": True}, {"MODE": "fast", "N": "4", "RATE": "0.5", "ON": "true"}),
        ({"PATH": "/nowhere"}, {"PATH": "/nowhere"}),
        ({}, {}),
        (None, {}),
    ],
)
def test_env_of_the_config_is_set(http: httpx.Client, env: Any, seen: dict[str, str]) -> None:
    """The variables in a config's `env` are set in the action's process, over the agent's own."""
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}, "env": env}
    source = "import os\ndef run(params): return {name: os.environ.get(name) for name in params['names']}"
    assert result_of(run_source(http, source, {"names": list(seen)}, config=config)) == seen


@pytest.mark.parametrize("env", [[], "A=1", 3, {"": "x"}, {"A=B": "x"}, {"A": None}, {"A": ["x"]}, {"A": "\x00"}])
def test_env_that_cannot_be_set_is_unprocessable(http: httpx.Client, env: Any) -> None:
    """An `env` that does not map names to texts or numbers is 422 and says so."""
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}, "env": env}
    response = run_source(http, "def run(params): return 1", config=config)
    assert response.status_code == 422
    assert detail(response).startswith("env: ")


def test_variable_that_holds_the_token_is_not_passed_on(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of any name whose value holds the agent's token does not reach an action."""
    monkeypatch.setenv("INNOCENT", "Bearer the-agent-s-token")
    source = "import os\ndef run(params): return list(os.environ)"
    with ThreadedAgent(registry, token="the-agent-s-token") as agent, client_of(agent) as http:
        assert "INNOCENT" not in result_of(run_source(http, source))


STUCK = """
import re, subprocess

def run(params):
    line = "echo $$ > " + params["file"] + "; sleep 60; true"
    subprocess.Popen(["sh", "-c", line], start_new_session=True, env={})
    re.match("(a+)+$", "a" * 40 + "b")
"""


def test_killed_agent_leaves_nothing_of_a_stuck_action(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """When the agent is killed, an action that holds the interpreter ends, and so does what left its session."""
    write_plugin(registry, "ocr", {"plugin.py": STUCK})
    process = serve("--data", tmp_path / "data", SYNAPSE_AGENT_TOKEN="token")
    body = {"action": "run", "params": {"file": str(tmp_path / "process")}}
    with client_at(url_of(process), "token") as http, ThreadPoolExecutor() as pool:
        create(http, "ocr")
        run = pool.submit(http.post, "/plugin_releases/1/run/", json=body)
        daemon = process_in(tmp_path / "process")
        worker = parent_of(daemon)
        process.kill()
        assert isinstance(run.exception(), httpx.TransportError)
    until(lambda: not is_alive(daemon) and not is_alive(worker))


def parent_of(process: int) -> int:
    """The parent of a process."""
    return int((PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[1])


def test_agent_is_gone_and_so_is_what_left_its_group(registry: Path, tmp_path: Path) -> None:
    """When an agent stops, also what its idle and busy processes started in sessions of their own is gone."""
    source = "import subprocess\ndef run(params):\n    line = 'echo $$ > ' + params['file'] + '; sleep 60; true'\n"
    source += "    subprocess.Popen(['sh', '-c', line], start_new_session=True, env={}).wait()"
    write_plugin(registry, "ocr", {"plugin.py": source})
    file = tmp_path / "process"
    with ThreadPoolExecutor() as pool:
        with ThreadedAgent(registry) as agent, client_of(agent) as http:
            create(http, "ocr")
            run = pool.submit(
                http.post, "/plugin_releases/1/run/", json={"action": "run", "params": {"file": str(file)}}
            )
            process = process_in(file)
            agent.stop()
            assert run.result().json()["error_type"] == "action_crashed"
        until(lambda: not is_alive(process))
