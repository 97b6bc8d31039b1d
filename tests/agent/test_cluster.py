"""The cluster executor: work on all nodes, and the loss of a node or the head."""

from __future__ import annotations

import collections
import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes.monitor import processes, tree
from synapse_local_agent.ray.executor import OnRay

from tests.agent.helpers import client_of, create, is_alive, process_in, result_of, run_source, until, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
FRESH_SECONDS = 1.1
"""After this time an idle actor is checked before it gets a run."""
COUNTED = """
import os, pathlib, time

def run(params):
    with open(params["file"], "a") as file:  # small appends are atomic
        file.write(f"{params['number']}\\n")
    while params["number"] < 3 and not {"0", "1", "2"} <= set(pathlib.Path(params["file"]).read_text().split()):
        time.sleep(0.01)  # so the first three overlap, which takes three nodes
    return [params["number"], os.environ["RAY_RAYLET_PID"]]
"""
TRIED = '''
import os, pathlib, signal, time

def run(params):
    """Die in the first attempts, or wait in the first one; return the number of this attempt."""
    seen = pathlib.Path(params["file"])
    with seen.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    number = len(seen.read_text().split())
    if number < params.get("succeeds", 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 1 and "succeeds" not in params:
        time.sleep(600)
    return number
'''
ONE = "def run(params): return 1"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the registry and the data of the cluster's agent."""
    return tmp_path_factory.mktemp("base")


@pytest.fixture(scope="module")
def ray_http(on_ray: OnRay, base: Path) -> Iterator[httpx.Client]:
    """A client of that agent."""
    (base / "registry").mkdir()
    limits = Limits(max_running=64, max_queue=1000)
    agent = ThreadedAgent(base / "registry", data=base / "data", limits=limits, executor=on_ray)
    with agent, client_of(agent) as http:
        yield http


def cached(http: httpx.Client, base: Path, name: str, source: str) -> Callable[..., Any]:
    """Cache a release of a source; return a function that runs it and returns its result."""
    write_plugin(base / "registry", name, {"plugin.py": source})
    path = f"/plugin_releases/{create(http, name)['id']}/run/"
    return lambda **params: result_of(http.post(path, json={"action": "run", "params": params}))


def configured(http: httpx.Client, source: str, params: dict[str, Any], **config: Any) -> httpx.Response:
    """Run the action `run` of a source whose config has more entries."""
    config |= {"code": "sent", "version": "0.1", "actions": {"run": {"entrypoint": "plugin:run"}}}
    return run_source(http, source, params, config=config)


def test_500_runs_are_carried_out_once_each(ray_http: httpx.Client, base: Path, tmp_path: Path) -> None:
    """Of 500 runs, 50 at a time, none is lost or repeated, and all three nodes work."""
    run, file = cached(ray_http, base, "counted", COUNTED), str(tmp_path / "file")
    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(lambda number: run(number=number, file=file), range(500)))
    assert [number for number, _ in results] == list(range(500))
    assert len({node for _, node in results[:3]}) == 3
    assert collections.Counter((tmp_path / "file").read_text().split()) == {str(number): 1 for number in range(500)}


def test_gpu_that_is_not_there(ray_http: httpx.Client) -> None:
    """A run that needs a GPU no node has is 503 gpu_unavailable at once, with the available resources."""
    response = configured(ray_http, ONE, {}, num_gpus=1)
    assert (response.status_code, response.json()["error_type"]) == (503, "gpu_unavailable")
    assert response.json()["detail"] == (
        "The action needs 1 CPU, 1 GPU on one node. The cluster has 3 nodes with 1 CPU, 0 GPU."
    )


def test_runtime_env_of_the_config_is_respected(ray_http: httpx.Client) -> None:
    """The runtime_env of a config applies to its own actions only."""
    source = "import os\ndef run(params): return os.environ.get('COLOUR')"
    assert result_of(configured(ray_http, source, {}, runtime_env={"env_vars": {"COLOUR": "red"}})) == "red"
    assert result_of(configured(ray_http, source, {})) is None


def test_process_that_dies_is_repeated_as_the_config_says(ray_http: httpx.Client, tmp_path: Path) -> None:
    """A run whose process dies is retried up to max_retries times, and never by default."""
    params = {"file": str(tmp_path / "file"), "succeeds": 3}
    assert result_of(configured(ray_http, TRIED, params, max_retries=2)) == 3
    (tmp_path / "file").unlink()
    response = configured(ray_http, TRIED, params)
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    assert len((tmp_path / "file").read_text().split()) == 1


def test_actor_that_died_while_it_was_idle(ray_http: httpx.Client, base: Path) -> None:
    """A run whose actor died before the start runs on another one."""
    run = cached(ray_http, base, "idle", "import os\ndef run(params): return os.getpid()")
    actor = first = run()
    while b"ray::" not in Path(f"/proc/{actor}/cmdline").read_bytes():
        actor = processes()[actor].parent
    os.kill(actor, signal.SIGKILL)
    late = time.monotonic() + FRESH_SECONDS
    until(lambda: time.monotonic() > late)
    assert run() != first


def test_log_of_a_run_that_crashed_is_whole(ray_http: httpx.Client, base: Path) -> None:
    """All output of a run that crashed is in its log, in order."""
    source = "import os\ndef run(params):\n    for number in range(40_000): print(f'line {number:06d}', 'x' * 90)\n"
    response = run_source(ray_http, source + "    os.kill(os.getpid(), 9)")
    assert response.json()["error_type"] == "action_crashed"
    (log,) = [path for path in base.glob("data/runs/*/log") if path.stat().st_size > 4_000_000]
    assert [line[5:11] for line in log.read_text().splitlines()] == [f"{number:06d}" for number in range(40_000)]


def test_gateway_that_is_killed(ray_http: httpx.Client, base: Path, tmp_path: Path) -> None:
    """A run whose gateway is killed is action_crashed, is not repeated for its key, and ends; the agent recovers."""
    file = tmp_path / "process"
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}}
    body = {"action": "run", "params": {"file": str(file)}, "config": config, "modules": {"plugin": TRIED}}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ray_http.post, "/plugin_releases/run_debug/", json=body, headers=headers)
        process = process_in(file)
        mark = os.fsencode(base / "data" / "gateway")
        below = tree(processes(), os.getpid())
        os.kill(next(one for one in below if mark in Path(f"/proc/{one}/cmdline").read_bytes()), signal.SIGKILL)
        response = answer.result()
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    until(lambda: not is_alive(process))
    file.unlink()
    assert ray_http.post("/plugin_releases/run_debug/", json=body, headers=headers).json() == response.json()
    assert not file.exists()
    until(lambda: run_source(ray_http, ONE).status_code == 200)


def test_nodes_need_nothing_of_the_agent_installed() -> None:
    """An actor imports only Python's standard library, Ray and packaging."""
    code = (
        "import sys, json\nsys.modules['ray'] = None\nimport synapse_local_agent.ray.actor\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    third = {name for name in done.stdout.split() if not name.startswith("_")}
    assert third <= {"ray", "packaging", "synapse_local_agent", "sitecustomize", "editables"}


def test_no_cluster_ends_the_agent_that_was_to_start(registry: Path) -> None:
    """An agent without its cluster does not start, and gives the reason."""
    with pytest.raises(RuntimeError, match=r"Cannot reach a Ray cluster at 127\.0\.0\.1:1: "):
        ThreadedAgent(registry, executor=OnRay("127.0.0.1:1")).start()


def test_node_that_dies_during_a_run(cluster: Any, ray_http: httpx.Client, tmp_path: Path) -> None:
    """A run whose node dies is 500 action_crashed; with max_retries it is retried on another node."""
    only: dict[str, Any] = {"num_cpus": 1, "resources": {"only": 1}}
    answers = []
    with ThreadPoolExecutor(1) as pool:
        for retries in (0, 1):
            node = cluster.add_node(**only)
            params = {"file": str(tmp_path / str(retries))}
            answer = pool.submit(configured, ray_http, TRIED, params, max_retries=retries, resources={"only": 1})
            process_in(tmp_path / str(retries))
            cluster.remove_node(node, allow_graceful=False)
            if retries:
                node = cluster.add_node(**only)
            answers.append(answer.result())
    lost, repeated = answers
    assert (lost.status_code, lost.json()["error_type"]) == (500, "action_crashed")
    assert "died" in lost.text
    assert result_of(repeated) == 2
    cluster.remove_node(node)


def test_head_that_goes_away_and_comes_back(registry: Path) -> None:
    """Without the head the agent responds with 503, and recovers without a restart."""
    utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: make test-heavy installs it")
    arguments: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False}
    own = utils.Cluster(initialize_head=True, head_node_args=arguments)
    arguments["gcs_server_port"] = int(own.address.rpartition(":")[2])
    try:
        with ThreadedAgent(registry, executor=OnRay(own.address)) as agent, client_of(agent) as http:
            assert result_of(run_source(http, ONE)) == 1
            own.shutdown()
            until(lambda: run_source(http, ONE).status_code == 503)
            response = run_source(http, ONE)
            assert response.status_code == 503
            assert "cannot be reached, try again later" in response.text
            assert http.get("/health/").status_code == 200
            own = utils.Cluster(initialize_head=True, head_node_args=arguments)
            until(lambda: run_source(http, ONE).status_code == 200)
    finally:
        own.shutdown()
