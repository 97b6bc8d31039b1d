"""Behaviour that both executors share: processes on this machine, and a cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes.executor import LocalExecutor

from tests.agent.helpers import client_of, create, is_alive, process_in, result_of, run_source, until, write_plugin
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

def wait(params):
    Path(params["folder"], str(os.getpid())).touch()
    Path(params["folder"], "started").write_text(str(os.getpid()))
    time.sleep(600)
"""


def run(http: httpx.Client, action: str, params: dict[str, Any], **fields: Any) -> httpx.Response:
    """Run an action of the release `actions@1.0.0`."""
    body = {"action": action, "params": params, **fields}
    return http.post("/plugin_releases/actions@1.0.0/run/", json=body)


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.heavy)])
def executor(request: pytest.FixtureRequest) -> MakeExecutor:
    """The executor: processes on this machine, or a cluster of three nodes."""
    if request.param == "local":
        return LocalExecutor
    make: MakeExecutor = request.getfixturevalue("on_ray")
    return make


@pytest.fixture(scope="module")
def base(executor: MakeExecutor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the registry and the data of the executor's agent."""
    del executor  # each executor has its own folder
    base = tmp_path_factory.mktemp("world")
    actions = {name: f"plugin:{name}" for name in ("run", "echo", "wait")}
    folder = write_plugin(base / "registry", "actions", {"plugin.py": ACTIONS}, actions)
    with (folder / "config.yaml").open("a") as config:
        config.write("env: {MODE: fast}\n")
    return base


@pytest.fixture(scope="module")
def world(executor: MakeExecutor, base: Path, offline: Path) -> Iterator[httpx.Client]:
    """A client of that agent, which has the release `actions@1.0.0`."""
    del offline  # the packages for its installers
    limits = Limits(max_result=40 * MIB, max_running=8, max_memory=1024 * MIB)
    agent = ThreadedAgent(
        base / "registry", data=base / "data", debug_roots=[base / "sources"], limits=limits, executor=executor
    )
    with agent, client_of(agent) as http:
        create(http, "actions")
        yield http


def test_what_a_run_has(world: httpx.Client, base: Path) -> None:
    """A run has its params, job, environment and log, and reuses the process of the previous run with its modules."""
    results = [result_of(run(world, "run", {"n": number}, job_id="job 1")) for number in (101, 102)]
    assert [result.pop("n") for result in results] == [101, 102]
    assert results[1].pop("is") == results[0].pop("is") + 1
    assert results[0] == results[1] == {"job_id": "job 1", "mode": "fast", "in": results[0]["in"]}
    logs = [path.read_text() for path in base.glob("data/runs/*/log")]
    for number in (101, 102):
        (log,) = [log for log in logs if f"printed {number}\n" in log]
        assert ("INFO logged" in log, log.count("printed")) == (True, 1)


FAILURES = {
    "raise ValueError('no')": ("action_failed", "ValueError: no"),
    "os._exit(3)": ("action_crashed", "The action's process ended by itself, with exit code 3."),
    "os.kill(os.getpid(), 9)": ("action_crashed", "was ended by signal 9"),
    "return {1, 2}": ("action_result_not_json", "The action's result is not JSON"),
    "return 'x' * 45_000_000": ("action_result_too_large", "more than the limit"),
}


@pytest.mark.contract
@pytest.mark.parametrize("source", FAILURES)
def test_how_actions_fail(world: httpx.Client, source: str) -> None:
    """An action that fails, dies or returns something invalid gets the matching error."""
    error_type, says = FAILURES[source]
    response = run_source(world, f"import os\ndef run(params):\n    {source}\n")
    assert (response.status_code, response.json()["error_type"]) == (500, error_type)
    assert says in response.text


ENDINGS = [
    (504, "action_timeout", "The action took longer than 1 s and was ended with all of its processes."),
    (500, "action_crashed", "The agent was stopped during the run."),
]


@pytest.mark.contract
@pytest.mark.parametrize(("status", "error_type", "says"), ENDINGS, ids=["timeout", "stop"])
def test_action_that_is_ended(
    executor: MakeExecutor, base: Path, tmp_path: Path, status: int, error_type: str, says: str
) -> None:
    """A caller learns that an action was ended by its timeout or with the agent, and no process is left."""
    limits = Limits(run_timeout=1) if status == 504 else Limits()
    agent = ThreadedAgent(base / "registry", executor=executor, limits=limits)
    with agent, client_of(agent) as http, ThreadPoolExecutor(1) as pool:
        create(http, "actions")
        answer = pool.submit(run, http, "wait", {"folder": str(tmp_path)})
        if status == 500:
            process = process_in(tmp_path / "started")
            agent.stop()
            until(lambda: not is_alive(process))
        response = answer.result()
    assert (response.status_code, response.json()) == (status, {"error_type": error_type, "detail": says})
    assert not [file for file in tmp_path.iterdir() if file.name.isdigit() and is_alive(int(file.name))]


def test_requirements_are_installed(world: httpx.Client) -> None:
    """Requirements are installed into a separate environment; missing ones are 422 and named."""
    source = "import sys, washer\ndef run(params): return [washer.VERSION, sys.prefix]"
    version, prefix = result_of(run_source(world, source, requirements=["washer==1.0"]))
    assert version == "1.0"
    assert result_of(run_source(world, "import sys\ndef run(params): return sys.prefix")) != prefix
    response = run_source(world, source, requirements=["no-such-distribution==9"])
    assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed")
    assert "no-such-distribution" in response.text


def test_debug_run_sees_edited_sources_and_modules(world: httpx.Client, base: Path) -> None:
    """A debug run uses the current source folder, with the request's modules and config on top."""
    for number in (1, 2):
        source = f"import part\ndef run(params): return [{number}, part.X]"
        folder = write_plugin(base / "sources", "edited", {"plugin.py": source})
        body = {"action": "run", "plugin_path": str(folder), "modules": {"part": f"X = {number} * 10"}}
        assert result_of(world.post("/plugin_releases/run_debug/", json=body)) == [number, number * 10]


def test_large_params_and_results(world: httpx.Client) -> None:
    """Thirty megabytes are sent and returned, also by a reused process."""
    for size in (1, 30 * MIB):
        params = {"text": "x" * size}
        assert result_of(run(world, "echo", params)) == params
