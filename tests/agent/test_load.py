"""Many callers at once, and actions that misbehave at length: nothing is lost, doubled or left."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from synapse_local_agent import Limits, watch

from tests.agent.helpers import client_of, create, result_of, runs_of, until, write_plugin
from tests.agent.test_outcomes import ENDLESS, EXCESS, HEAD, SAYS_SO, Impatient
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
RUN = "/plugin_releases/1/run/"
COUNTING = """
def run(params):
    with open(params["file"], "a") as file:
        file.write(f"{params['n']}\\n")
    return params["n"]
"""
EXECUTING = """
def run(params):
    names = {}
    exec(params["source"], names)
    return names["run"](params)
"""
ENDS = ("os._exit(3)", "os.abort()", "ctypes.string_at(0)", "os.kill(0, signal.SIGKILL)", "sys.exit(1)", "1 / 0")


def processes() -> set[int]:
    """Every process below this one."""
    return set(watch.tree(watch.processes(), os.getpid())) - {os.getpid()}


def open_files() -> int:
    """How many files this process has open, which has the agent in it."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - these are numbers, not paths


def test_five_thousand_runs_of_two_hundred_clients(registry: Path, tmp_path: Path) -> None:
    """Of 5,000 runs by 200 clients, a third of them sent twice with one key, none is lost, none runs twice."""
    others = processes()  # such as those of a browser that an earlier test has used
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    calls = tmp_path / "calls"

    def run(http: httpx.Client, number: int) -> Any:
        body = {"action": "run", "params": {"n": number, "file": str(calls)}}
        headers = {"Idempotency-Key": str(uuid4())}
        for _ in range(2 if number % 3 == 0 else 1):
            answer = result_of(http.post(RUN, json=body, headers=headers))
        return answer

    with ThreadedAgent(registry) as agent, ExitStack() as stack, ThreadPoolExecutor(200) as pool:
        clients = [stack.enter_context(client_of(agent)) for _ in range(200)]
        create(clients[0], "ocr")
        memory = []
        for client in clients:
            client.event_hooks = {}
        for first in range(0, 5000, 1000):
            numbers = range(first, first + 1000)
            assert list(pool.map(lambda n: run(clients[n % 200], n), numbers)) == list(numbers)
            memory.append(watch.processes()[os.getpid()].memory)
    assert sorted(map(int, calls.read_text().split())) == list(range(5000))
    assert memory[-1] - memory[1] < 20 * 2**20, memory
    until(lambda: processes() <= others)


def test_misbehaving_actions_at_length(registry: Path, tmp_path: Path) -> None:
    """Of 200 actions, four at a time, the good ones work among those that misbehave; no process or file is left."""
    others = processes()
    endless = [SAYS_SO + source for source in ENDLESS.values()]
    bad = [*endless, *(f"{HEAD}{source}\n    time.sleep(60)" for source in EXCESS)]
    bad += [f"{HEAD}subprocess.Popen(['sleep', '60'], start_new_session=True)\n    {end}" for end in ENDS * 3]
    choose = random.Random(1)  # noqa: S311 - which one comes when is no secret
    write_plugin(registry, "ocr", {"plugin.py": EXECUTING})
    limits = Limits(max_memory=150 * 2**20, max_processes=12, max_log=2**20, max_running=4)
    agent = ThreadedAgent(registry, data=tmp_path / "data", limits=limits, executor=Impatient)
    open_before = open_files()

    def run(http: httpx.Client, number: int) -> bool:
        source = "def run(params): return params['n']" if number % 4 == 0 else choose.choice(bad)
        late = {"until": str(tmp_path / str(number))} if source in endless else {}
        answer = http.post(RUN, json={"action": "run", "params": {"source": source, "n": number, **late}})
        if number % 4 == 0:
            return bool(result_of(answer) == number)
        return answer.json()["error_type"] in {"action_crashed", "action_timeout", "action_failed"}

    with agent, client_of(agent) as http, ThreadPoolExecutor(4) as pool:
        create(http, "ocr")
        assert all(pool.map(lambda number: run(http, number), range(200)))
        assert http.delete("/plugin_releases/1").status_code == 204
        until(lambda: processes() <= others)
    assert open_files() == open_before
    assert len(runs_of(tmp_path / "data")) == 200
    assert not list(tmp_path.glob("data/*/*/work"))
