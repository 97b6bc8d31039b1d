"""What holds wherever actions run: in processes of this machine, and on a cluster."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes.executor import LocalExecutor

from tests.agent.helpers import (
    client_of,
    create,
    detail,
    is_alive,
    process_in,
    result_of,
    run_source,
    until,
    write_plugin,
)
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from synapse_local_agent.runs.executor import MakeExecutor

MIB = 2**20
ACTIONS = """
import os, time
from pathlib import Path

COUNT = 0

def run(params, context):
    global COUNT
    COUNT += 1
    print("printed", params["n"])
    context.logger.info("logged")
    return {"n": params["n"], "job_id": context.job_id, "mode": os.environ.get("MODE"), "in": os.getpid(), "is": COUNT}

def echo(params):
    return params

def append(params):
    with open(params["file"], "a") as file:
        file.write("x")
    return 1

def wait(params):
    Path(params["folder"], str(os.getpid())).touch()
    Path(params["folder"], "started").write_text(str(os.getpid()))
    time.sleep(600)
"""


@dataclass(frozen=True)
class World:
    """An agent with the release `actions@1.0.0`, a client of it, and the folder with its registry and data."""

    http: httpx.Client
    folder: Path

    def run(self, action: str, params: dict[str, Any], key: str | None = None, **fields: Any) -> httpx.Response:
        """Run an action of the release."""
        body = {"action": action, "params": params, **fields}
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.post("/plugin_releases/actions@1.0.0/run/", json=body, headers=headers)


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.heavy)])
def executor(request: pytest.FixtureRequest) -> MakeExecutor:
    """What runs the actions: processes of this machine, or a cluster of three nodes."""
    if request.param == "local":
        return LocalExecutor
    make: MakeExecutor = request.getfixturevalue("on_ray")
    return make


@pytest.fixture(scope="module")
def world(executor: MakeExecutor, tmp_path_factory: pytest.TempPathFactory, offline: Path) -> Iterator[World]:
    """An agent on the executor."""
    base = tmp_path_factory.mktemp("world")
    actions = {name: f"plugin:{name}" for name in ("run", "echo", "append", "wait")}
    folder = write_plugin(base / "registry", "actions", {"plugin.py": ACTIONS}, actions)
    with (folder / "config.yaml").open("a") as config:
        config.write("env: {MODE: fast}\n")
    options: dict[str, Any] = {"data": base / "data", "debug_roots": [base / "sources"], "executor": executor}
    limits = Limits(max_result=40 * MIB, max_running=8, max_memory=1024 * MIB)
    with ThreadedAgent(base / "registry", limits=limits, **options) as agent, client_of(agent) as http:
        create(http, "actions")
        yield World(http, base)


def test_what_a_run_has(world: World) -> None:
    """A run has its params, job, environment and log, and the process of the run before, with what that has loaded."""
    results = [result_of(world.run("run", {"n": number}, job_id="job 1")) for number in (101, 102)]
    assert [result.pop("n") for result in results] == [101, 102]
    assert results[1].pop("is") == results[0].pop("is") + 1
    assert results[0] == results[1] == {"job_id": "job 1", "mode": "fast", "in": results[0]["in"]}
    logs = [path.read_text() for path in (world.folder / "data" / "runs").glob("*/log")]
    for number in (101, 102):
        (log,) = [log for log in logs if f"printed {number}\n" in log]
        assert "INFO logged" in log
        assert log.count("printed") == 1


FAILURES = {
    "raise ValueError('no')": ("action_failed", "ValueError: no"),
    "os._exit(3)": ("action_crashed", "The action's process ended by itself, with exit code 3."),
    "os.kill(os.getpid(), 9)": ("action_crashed", "was ended by signal 9"),
    "return {1, 2}": ("action_result_not_json", "The action's result is not JSON"),
    "return 'x' * 45_000_000": ("action_result_too_large", "more than the limit"),
}


@pytest.mark.contract
@pytest.mark.parametrize("source", FAILURES)
def test_how_actions_fail(world: World, source: str) -> None:
    """An action that fails, dies or returns what cannot be sent is answered as such."""
    error_type, says = FAILURES[source]
    response = run_source(world.http, f"import os\ndef run(params):\n    {source}\n")
    assert (response.status_code, response.json()["error_type"]) == (500, error_type)
    assert says in detail(response)


@pytest.mark.contract
def test_action_that_takes_too_long(executor: MakeExecutor, world: World, tmp_path: Path) -> None:
    """An action that runs on after its time is 504 action_timeout, and nothing of it is left."""
    limits = Limits(run_timeout=1)
    with ThreadedAgent(world.folder / "registry", executor=executor, limits=limits) as agent, client_of(agent) as http:
        create(http, "actions")
        body = {"action": "wait", "params": {"folder": str(tmp_path)}}
        response = http.post("/plugin_releases/1/run/", json=body)
    assert (response.status_code, response.json()["error_type"]) == (504, "action_timeout")
    assert detail(response) == "The action took longer than 1 s, and was ended with all of its processes."
    assert not [file for file in tmp_path.iterdir() if file.name.isdigit() and is_alive(int(file.name))]


def test_nothing_of_a_cancelled_run_is_left(executor: MakeExecutor, world: World, tmp_path: Path) -> None:
    """An agent that stops ends its running actions, and their callers are told."""
    with (
        ThreadedAgent(world.folder / "registry", executor=executor) as agent,
        client_of(agent) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        create(http, "actions")
        body = {"action": "wait", "params": {"folder": str(tmp_path)}}
        answer = pool.submit(http.post, "/plugin_releases/1/run/", json=body)
        process = process_in(tmp_path / "started")
        agent.stop()
        response = answer.result()
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    assert detail(response) == "The agent was stopped during the run."
    until(lambda: not is_alive(process))


def test_requirements_are_installed(world: World) -> None:
    """What a run requires is there, in an environment of its own; what nobody has is 422 and named."""
    source = "import sys, washer\ndef run(params): return [washer.VERSION, sys.prefix]"
    version, prefix = result_of(run_source(world.http, source, requirements=["washer==1.0"]))
    assert version == "1.0"
    assert result_of(run_source(world.http, "import sys\ndef run(params): return sys.prefix")) != prefix
    response = run_source(world.http, source, requirements=["no-such-distribution==9"])
    assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed")
    assert "no-such-distribution" in detail(response)


def test_debug_run_sees_edited_sources_and_modules(world: World) -> None:
    """A debug run has the folder of sources as it is now, with the modules and the config of the request over it."""
    for number in (1, 2):
        source = f"import part\ndef run(params): return [{number}, part.X]"
        folder = write_plugin(world.folder / "sources", "edited", {"plugin.py": source})
        body = {"action": "run", "plugin_path": str(folder), "modules": {"part": f"X = {number} * 10"}}
        assert result_of(world.http.post("/plugin_releases/run_debug/", json=body)) == [number, number * 10]


def test_key_runs_once(world: World, tmp_path: Path) -> None:
    """Runs with one idempotency key are carried out once, also where they meet."""
    key, params = str(uuid.uuid4()), {"file": str(tmp_path / "file")}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.run("append", params, key), range(4)))
    assert [result_of(answer) for answer in answers] == [1] * 4
    assert (tmp_path / "file").read_text() == "x"


def test_large_params_and_results(world: World) -> None:
    """Thirty megabytes go in, and come back, from a process that has had a run before too."""
    for size in (1, 30 * MIB):
        params = {"text": "x" * size}
        assert result_of(world.run("echo", params)) == params
