"""What holds wherever actions run: in processes of this machine, and on a cluster."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_local_agent import Limits
from synapse_local_agent.local import LocalExecutor

from tests.agent.helpers import client_of, create, detail, is_alive, result_of, run_source, until, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from synapse_local_agent.executor import MakeExecutor

MIB = 2**20
ACTIONS = """
import os, time
from pathlib import Path

COUNT = 0

def run(params, context):
    print("printed", params.get("n"))
    context.logger.info("logged")
    return {"n": params.get("n"), "job_id": context.job_id, "mode": os.environ.get("MODE"), "in": os.getcwd()}

def count(params):
    global COUNT
    COUNT += 1
    return [os.getpid(), COUNT]

def append(params):
    with open(params["file"], "a") as file:
        file.write("x")
    return 1

def wait(params):
    Path(params["file"]).write_text(str(os.getpid()))
    time.sleep(60)
"""


@dataclass(frozen=True)
class World:
    """An agent, a client of it, and the folder of a test."""

    agent: ThreadedAgent
    http: httpx.Client
    registry: Path
    sources: Path

    def run(self, action: str, params: dict[str, Any] | None = None, **fields: Any) -> httpx.Response:
        """Run an action of the release."""
        body = {"action": action, "params": params or {}, **fields}
        headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
        body.pop("key", None)
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
    """An agent that has the release `actions@1.0.0`."""
    base = tmp_path_factory.mktemp("world")
    names = ("run", "count", "append", "wait")
    folder = write_plugin(
        base / "registry", "actions", {"plugin.py": ACTIONS}, {name: f"plugin:{name}" for name in names}
    )
    with (folder / "config.yaml").open("a") as config:
        config.write("env: {MODE: fast}\n")
    limits = Limits(max_result=120 * MIB, max_running=8, max_memory=1024 * MIB)
    (base / "sources").mkdir()
    with (
        ThreadedAgent(
            base / "registry", data=base / "data", limits=limits, debug_roots=[base / "sources"], executor=executor
        ) as agent,
        client_of(agent) as http,
    ):
        http.timeout = httpx.Timeout(120)  # a new environment on a busy machine
        create(http, "actions")
        yield World(agent, http, base, base / "sources")


def test_result_context_and_environment(world: World) -> None:
    """A run has its params, its job id and its config's environment, and gives back its result."""
    result = result_of(world.run("run", {"n": 5}, job_id="job 1"))
    assert (result["n"], result["job_id"], result["mode"]) == (5, "job 1", "fast")


def test_release_keeps_its_process(world: World) -> None:
    """The next run of a release meets the process of the one before, with what that has loaded."""
    runs = [result_of(world.run("count")) for _ in range(3)]
    assert len({process for process, _ in runs}) == 1
    assert runs[2][1] - runs[0][1] == 2


def test_output_is_in_the_log_of_the_run(world: World) -> None:
    """What an action prints and logs is in the log of its own run."""
    for number in (101, 102):
        result_of(world.run("run", {"n": number}))
    logs = [path.read_text() for path in (world.registry / "data" / "runs").glob("*/log")]
    for number in (101, 102):
        (log,) = [log for log in logs if f"printed {number}\n" in log]
        assert "INFO logged" in log
        assert log.count("printed") == 1


FAILURES = {
    "raises": ("raise ValueError('no')", 500, "action_failed", "ValueError: no"),
    "exits": ("os._exit(3)", 500, "action_crashed", "The action's process ended by itself, with exit code 3."),
    "is killed": ("os.kill(os.getpid(), 9)", 500, "action_crashed", "was ended by signal 9"),
    "returns no JSON": ("return {1, 2}", 500, "action_result_not_json", "The action's result is not JSON"),
    "returns too much": ("return 'x' * 130_000_000", 500, "action_result_too_large", "more than the limit"),
}


@pytest.mark.parametrize(("source", "status", "error_type", "says"), FAILURES.values(), ids=FAILURES)
def test_how_actions_fail(world: World, source: str, status: int, error_type: str, says: str) -> None:
    """An action that fails, dies or returns what cannot be sent is answered as such."""
    response = run_source(world.http, f"import os\ndef run(params):\n    {source}\n")
    assert (response.status_code, response.json()["error_type"]) == (status, error_type)
    assert says in detail(response)


def test_action_that_takes_too_long(executor: MakeExecutor, world: World, tmp_path: Path) -> None:
    """An action that runs on after its time is 504 action_timeout, nothing of it is left, and the next run works."""
    limits = Limits(run_timeout=1)
    with (
        ThreadedAgent(world.registry / "registry", data=tmp_path / "data", executor=executor, limits=limits) as agent,
        client_of(agent) as http,
    ):
        source = "import os, time\ndef run(params):\n    open(params['file'], 'w').write(str(os.getpid()))\n"
        file = tmp_path / "process"
        response = run_source(http, f"{source}    time.sleep(60)", {"file": str(file)})
        assert (response.status_code, response.json()["error_type"]) == (504, "action_timeout")
        assert detail(response) == "The action took longer than 1 s, and was ended with all of its processes."
        assert not is_alive(int(file.read_text()))
        assert result_of(run_source(http, "def run(params): return 1")) == 1


def test_nothing_of_a_cancelled_run_is_left(executor: MakeExecutor, world: World, tmp_path: Path) -> None:
    """An agent that stops ends its running actions, and their callers are told."""
    with (
        ThreadedAgent(world.registry / "registry", data=tmp_path / "data", executor=executor) as agent,
        client_of(agent) as http,
        ThreadPoolExecutor(1) as pool,
    ):
        create(http, "actions")
        body = {"action": "wait", "params": {"file": str(tmp_path / "process")}}
        answer = pool.submit(http.post, "/plugin_releases/actions@1.0.0/run/", json=body)
        until((tmp_path / "process").exists, 30)
        agent.stop()
        response = answer.result()
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    assert detail(response) == "The agent was stopped during the run."
    until(lambda: not is_alive(int((tmp_path / "process").read_text())))


def test_requirements_are_installed(world: World) -> None:
    """What a run requires is there, in another environment than that of runs without it."""
    source = "import sys, washer\ndef run(params): return [washer.VERSION, sys.prefix]"
    version, prefix = result_of(run_source(world.http, source, requirements=["washer==1.0"]))
    assert version == "1.0"
    assert result_of(run_source(world.http, "import sys\ndef run(params): return sys.prefix")) != prefix


def test_requirements_that_cannot_be_had(world: World) -> None:
    """A requirement that nobody has is 422 requirements_failed, and is named."""
    response = run_source(world.http, "def run(params): return 1", requirements=["no-such-distribution==9"])
    assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed")
    assert "no-such-distribution" in detail(response)


def test_debug_run_sees_edited_sources_and_modules(world: World) -> None:
    """A debug run has the folder of sources as it is now, with the modules and the config of the request over it."""
    folder = world.sources / "edited"
    for number in (1, 2):
        write_plugin(world.sources, "edited", {"plugin.py": f"import part\ndef run(params): return [{number}, part.X]"})
        body = {"action": "run", "plugin_path": str(folder), "modules": {"part": f"X = {number} * 10"}}
        assert result_of(world.http.post("/plugin_releases/run_debug/", json=body)) == [number, number * 10]


def test_key_runs_once(world: World, tmp_path: Path) -> None:
    """Runs with one idempotency key are carried out once, also where they meet."""
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.run("append", {"file": str(tmp_path / "file")}, key=key), range(4)))
    assert [result_of(answer) for answer in answers] == [1] * 4
    assert (tmp_path / "file").read_text() == "x"


def test_large_params_and_results(world: World) -> None:
    """100 MB go in, and 100 MB come back."""
    source = "def run(params): return params['text'] if params['back'] else len(params['text'])"
    text = "x" * 100 * MIB
    assert result_of(run_source(world.http, source, {"text": text, "back": True})) == text
