"""Actions that exceed limits: they end with all their processes, and the agent survives."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import httpx
import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes import executor as local
from synapse_local_agent.processes import monitor as watch
from synapse_local_agent.processes.executor import LocalExecutor
from synapse_local_agent.runs.model import Job, Outcome

from tests.agent.helpers import (
    client_at,
    client_of,
    is_alive,
    process_in,
    result_of,
    run_source,
    runs_of,
    until,
    url_of,
)
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse_local_agent.runs.executor import OnStart
    from synapse_local_agent.runs.model import Run

    from tests.agent.conftest import Serve

MIB = 2**20
LATE = "The action took too long."
HEAD = "import asyncio, ctypes, os, pathlib, re, signal, subprocess, sys, time\ndef run(params):\n    "
ONE = "def run(params): return 1"


def has_said_so(file: str | None) -> bool:
    """Whether a file has content."""
    return file is not None and Path(file).exists() and Path(file).stat().st_size > 0


def below() -> set[int]:
    """The descendants of this process."""
    return set(watch.tree(watch.processes(), os.getpid())) - {os.getpid()}


def open_files() -> int:
    """The number of open files of this process, which contains the agent."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - these are numbers, not paths


class Impatient(LocalExecutor):
    """Ends a run like its timeout would, once the file in `until` of its params exists."""

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Run a job, but not for long."""

        async def end() -> None:
            while not has_said_so(json.loads(job.params).get("until")):  # noqa: ASYNC110 - a file has no events
                await asyncio.sleep(0.01)
            self.cancel(run.name, Outcome(error_type="action_timeout", detail=LATE))

        ending = asyncio.create_task(end())
        try:
            return await super().run(job, run, on_start)
        finally:
            ending.cancel()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an agent whose runs time out as soon as they say so."""
    with ThreadedAgent(tmp_path_factory.mktemp("empty"), executor=Impatient) as agent, client_of(agent) as http:
        yield http


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an agent with low limits and frequent checks."""
    limits = Limits(max_memory=150 * MIB, max_processes=12, max_result=1000, max_log=MIB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "WATCH_SECONDS", 0.01)
        with ThreadedAgent(tmp_path_factory.mktemp("empty"), limits=limits) as agent, client_of(agent) as http:
            yield http


ENDLESS = {
    "waits": "time.sleep(60)",
    "computes": "while True: pass",
    "holds the interpreter": "re.match('(a+)+$', 'a' * 40 + 'b')",
    "ignores signals": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)]\n    time.sleep(60)",
    "has stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "waits in a coroutine": "asyncio.run(asyncio.sleep(60))",
}
SAYS_SO = HEAD + "pathlib.Path(params['until']).write_text(str(os.getpid()))\n    "


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_action_that_takes_too_long(impatient: httpx.Client, tmp_path: Path, source: str) -> None:
    """An action that exceeds its timeout is ended, whatever it does, and the next run works."""
    response = run_source(impatient, SAYS_SO + source, {"until": str(tmp_path / "process")})
    assert (response.status_code, response.json()) == (504, {"error_type": "action_timeout", "detail": LATE})
    assert not is_alive(process_in(tmp_path / "process"))
    assert result_of(run_source(impatient, ONE)) == 1


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
    "timeout": "open(params['until'], 'w').write('now')\n    time.sleep(60)",
    "kill of its group": "os.killpg(0, signal.SIGKILL)",
}
PAIRS = [(start, "timeout") for start in STARTED] + [("daemon", end) for end in ENDS if end != "timeout"]


@pytest.mark.parametrize(("start", "end"), PAIRS)
def test_nothing_outlives_its_run(impatient: httpx.Client, tmp_path: Path, start: str, end: str) -> None:
    """All processes that an action started are gone when it has its response, in any session, however it ended."""
    file = tmp_path / "process"
    source = f"""{HEAD}
    file = {str(file)!r}
    line = 'echo $$ > ' + file + '; sleep 60; true'
    command = ['sh', '-c', line]
    {STARTED[start]}
    while not (os.path.exists(file) and open(file).read()): time.sleep(0.01)
    {ENDS[end]}
"""
    run_source(impatient, source, {"until": str(tmp_path / "until")})
    assert not is_alive(process_in(file))


# All of them are finite, so that a late check by the agent does no harm.
EXCESS = {
    "data = [(bytes(2**20).hex(), time.sleep(0.002)) for _ in range(500)]": "bytes of memory",
    "for _ in range(3): os.fork() or (bytearray(os.urandom(2**20) * 80), time.sleep(60))": "bytes of memory",
    "for _ in range(500): os.fork() or time.sleep(60)": "processes, more than",
    "for _ in range(8): os.fork(), time.sleep(0.1)": "processes, more than",
    "for _ in range(200_000): print('x' * 1000)": "printed more than the limit of 1048576 bytes",
}


@pytest.mark.parametrize("source", EXCESS)
def test_action_that_takes_too_much(strict: httpx.Client, source: str) -> None:
    """An action that exceeds a limit of memory, processes or output is action_crashed, and the next run works."""
    response = run_source(strict, f"{HEAD}{source}\n    time.sleep(60)")
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed"), response.text
    assert EXCESS[source] in response.text
    assert result_of(run_source(strict, ONE)) == 1


def test_shared_memory_counts_once(strict: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory shared by forked processes counts once."""
    looked = Mock(wraps=watch.proportional)
    monkeypatch.setattr(watch, "proportional", looked)
    source = f"{HEAD}data = os.urandom(2**20) * 60\n    for _ in range(3): os.fork() or time.sleep(60)\n"
    source += "    while not os.path.exists(params['go']): time.sleep(0.01)\n    return len(data)"
    with ThreadPoolExecutor() as pool:
        run = pool.submit(run_source, strict, source, {"go": str(tmp_path / "go")})
        until(lambda: looked.called or run.done())
        (tmp_path / "go").touch()
        assert result_of(run.result()) == 60 * MIB


def test_result_that_is_too_large(strict: httpx.Client) -> None:
    """A result above the limit is action_result_too_large, with its size."""
    response = run_source(strict, "def run(params): return 'x' * 999")
    assert (response.status_code, response.json()["error_type"]) == (500, "action_result_too_large")
    assert "1001 bytes" in response.text
    assert result_of(run_source(strict, "def run(params): return 'x' * 998")) == "x" * 998


def test_env_of_the_config(http: httpx.Client) -> None:
    """The variables in a config's `env` override the agent's; invalid ones are 422."""
    source = "import os\ndef run(params): return {name: os.environ.get(name) for name in params['names']}"
    config: dict[str, Any] = {"actions": {"run": {"entrypoint": "plugin:run"}}, "env": None}
    assert result_of(run_source(http, source, {"names": []}, config=config)) == {}
    config["env"] = {"MODE": "fast", "N": 4, "RATE": 0.5, "ON": True, "PATH": "/nowhere"}
    seen = {"MODE": "fast", "N": "4", "RATE": "0.5", "ON": "true", "PATH": "/nowhere"}
    assert result_of(run_source(http, source, {"names": list(seen)}, config=config)) == seen
    bad: list[Any] = [[], "A=1", 3, {"": "x"}, {"A=B": "x"}, {"A": None}, {"A": ["x"]}, {"A": "\x00"}]
    for env in bad:
        response = run_source(http, ONE, config={**config, "env": env})
        assert (response.status_code, response.json()["detail"][:5]) == (422, "env: "), env


def test_killed_agent_leaves_nothing_of_a_stuck_action(serve: Serve, tmp_path: Path) -> None:
    """When the agent is killed, an action that holds the GIL ends, and so does a process in another session."""
    file = tmp_path / "process"
    source = f"""{HEAD}
    subprocess.Popen(['sh', '-c', 'echo $$ > {file}; sleep 60; true'], start_new_session=True, env={{}})
    {ENDLESS["holds the interpreter"]}
"""
    process = serve(SYNAPSE_AGENT_TOKEN="token")
    with client_at(url_of(process), "token") as http, ThreadPoolExecutor() as pool:
        run = pool.submit(run_source, http, source)
        daemon = process_in(file)
        worker = watch.processes()[daemon].parent
        process.kill()
        assert isinstance(run.exception(), httpx.TransportError)
    until(lambda: not is_alive(daemon) and not is_alive(worker))


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_misbehaving_actions_at_length(tmp_path: Path) -> None:
    """Of 200 actions, four at a time, the good ones work among the bad; no process or file is left."""
    others, open_before = below(), open_files()
    bad = [SAYS_SO + source for source in ENDLESS.values()]
    bad += [f"{HEAD}{source}\n    time.sleep(60)" for source in EXCESS]
    bad += [f"{HEAD}subprocess.Popen(['sleep', '60'], start_new_session=True)\n    {end}" for end in ENDS.values()]

    def run(http: httpx.Client, number: int) -> bool:
        if number % 4 == 0:
            return bool(result_of(run_source(http, "def run(params): return params", {"n": number})) == {"n": number})
        response = run_source(http, bad[number % len(bad)], {"until": str(tmp_path / str(number))})
        return response.content == b"1" or response.json()["error_type"].startswith("action_")

    limits = Limits(max_memory=150 * MIB, max_processes=12, max_log=MIB, max_running=4)
    agent = ThreadedAgent(tmp_path, data=tmp_path / "data", limits=limits, executor=Impatient)
    with agent, client_of(agent) as http, ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda number: run(http, number), range(200)))
        until(lambda: below() <= others)
    assert open_files() <= open_before
    assert len(runs_of(tmp_path / "data")) == 200
    assert not list(tmp_path.glob("data/*/*/work"))
