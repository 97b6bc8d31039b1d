"""Many callers at once, and actions that misbehave at length: nothing is lost, doubled or left."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes import monitor as watch

from tests.agent.helpers import client_at, client_of, create, result_of, runs_of, until, write_plugin
from tests.agent.test_outcomes import ENDLESS, EXCESS, HEAD, SAYS_SO, Impatient
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
MIB = 2**20
RUN = "/plugin_releases/1/run/"
COUNTING = """
import os

def run(params):
    with open(params["file"], "a") as file:
        file.write(f"{params['n']}\\n")
    return params["n"]
"""


def memory() -> int:
    """The memory of this process, which has the agent in it, in bytes."""
    return watch.processes()[os.getpid()].memory


def processes() -> set[int]:
    """Every process below this one."""
    return set(watch.tree(watch.processes(), os.getpid())) - {os.getpid()}


def test_five_thousand_runs_of_two_hundred_clients(registry: Path, tmp_path: Path) -> None:
    """Of 5,000 runs by 200 clients, a third of them sent twice with one key, none is lost, none runs twice."""
    others = processes()  # such as those of a browser that an earlier test has used
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    calls = tmp_path / "calls"

    def run(agent: ThreadedAgent, http: httpx.Client, number: int) -> Any:
        body = {"action": "run", "params": {"n": number, "file": str(calls)}}
        headers = {"Idempotency-Key": str(uuid4())}
        for _ in range(2 if number % 3 == 0 else 1):
            answer = result_of(http.post(RUN, json=body, headers=headers))
        return answer

    with ThreadedAgent(registry, data=tmp_path / "data") as agent:
        clients = [client_at(agent.url, agent.token) for _ in range(200)]
        with client_of(agent) as http:
            create(http, "ocr")
        for client in clients:
            client.event_hooks = {}
        before: list[int] = []
        with ThreadPoolExecutor(200) as pool:
            for first in range(0, 5000, 1000):
                numbers = range(first, first + 1000)
                assert list(pool.map(lambda n: run(agent, clients[n % 200], n), numbers)) == list(numbers)
                before.append(memory())
        for client in clients:
            client.close()
        assert sorted(map(int, calls.read_text().split())) == list(range(5000))
        assert before[-1] - before[1] < 20 * MIB, before
    until(lambda: processes() <= others)


def test_misbehaving_actions_at_length(registry: Path, tmp_path: Path) -> None:
    """Two hundred actions that crash, hang, fork, fill memory or print without end, four at a time: the good ones work.

    At the end no process is left, and no file is open but those that were.
    """
    others = processes()
    endless = {f"{SAYS_SO}{source}" for source in ENDLESS.values()}
    bad = [*sorted(endless), *(f"{HEAD}{source}\n    time.sleep(60)" for source, _ in EXCESS.values())]
    ends = ("os._exit(3)", "os.abort()", "ctypes.string_at(0)", "os.kill(0, signal.SIGKILL)", "sys.exit(1)", "1 / 0")
    bad += [f"{HEAD}subprocess.Popen(['sleep', '60'], start_new_session=True)\n    {end}" for end in ends * 3]
    good = "def run(params): return params['n']"
    choose = random.Random(1)  # noqa: S311 - which one comes when is no secret
    source = "def run(params):\n    names = {}\n    exec(params['source'], names)\n    return names['run'](params)"
    write_plugin(registry, "ocr", {"plugin.py": source})
    limits = Limits(max_memory=150 * MIB, max_processes=12, max_log=MIB, max_running=4)
    agent = ThreadedAgent(registry, data=tmp_path / "data", limits=limits, executor=Impatient)
    open_before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - these are numbers, not paths

    def run(http: httpx.Client, number: int) -> bool:
        source = good if number % 4 == 0 else choose.choice(bad)
        late = {"until": str(tmp_path / str(number))} if source in endless else {}
        params = {"source": source, "n": number, **late}
        answer = http.post(RUN, json={"action": "run", "params": params})
        if number % 4 == 0:
            return bool(result_of(answer) == number)
        return answer.json()["error_type"] in {"action_crashed", "action_timeout", "action_failed"}

    with agent, client_of(agent) as http, ThreadPoolExecutor(4) as pool:
        create(http, "ocr")
        assert all(pool.map(lambda number: run(http, number), range(200)))
        assert http.delete("/plugin_releases/1").status_code == 204
        until(lambda: processes() <= others)
    assert len(os.listdir("/dev/fd")) == open_before  # noqa: PTH208 - these are numbers, not paths
    assert len(runs_of(tmp_path / "data")) == 200
    assert not list(tmp_path.glob("data/*/*/work"))
