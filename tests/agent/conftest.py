"""Agents under test: one shared by all tests, and one per test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent.ray.executor import OnRay

from tests.agent.helpers import client_of, create, only_wheels, wheel, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    Serve = Callable[..., subprocess.Popen[str]]
    """Starts `synapse-agent serve` with more arguments and environment variables."""

PROGRAM = Path(sys.executable).with_name("synapse-agent")


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedAgent]:
    """An agent with the release `shared@1.0.0+lite`; tests that share it change nothing."""
    registry = tmp_path_factory.mktemp("registry")
    sources = {"plugin.py": "def run(params): return params"}
    write_plugin(registry, "shared", sources, {"run": "plugin:run", "walk": "plugin.run"}, "1.0.0+lite")
    with ThreadedAgent(registry) as agent:
        with client_of(agent) as http:
            create(http, "shared", "1.0.0+lite")
        yield agent


@pytest.fixture(scope="session")
def http(agent: ThreadedAgent) -> Iterator[httpx.Client]:
    """A client of the shared agent."""
    with client_of(agent) as client:
        yield client


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """An empty registry for this test."""
    folder = tmp_path / "registry"
    folder.mkdir()
    return folder


@pytest.fixture
def own_agent(registry: Path, tmp_path: Path) -> Iterator[ThreadedAgent]:
    """An agent for this test, with its data in `data` and debug runs from `sources`."""
    (tmp_path / "sources").mkdir()
    with ThreadedAgent(registry, data=tmp_path / "data", debug_roots=[tmp_path / "sources"]) as agent:
        yield agent


@pytest.fixture
def own_http(own_agent: ThreadedAgent) -> Iterator[httpx.Client]:
    """A client of this test's agent."""
    with client_of(own_agent) as client:
        yield client


@pytest.fixture
def serve(registry: Path, tmp_path: Path) -> Iterator[Serve]:
    """Start agents on a free port, and end those that a test leaves running."""
    started = []

    def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNAPSE_")}
        environment |= {"HOME": str(tmp_path / "home"), "XDG_DATA_HOME": str(tmp_path / "home" / "share"), **variables}
        for name, value in (("--registry", registry), ("--port", "0"), ("--log-level", "warning")):
            if name not in arguments:
                arguments = (name, value, *arguments)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [PROGRAM, "serve", *arguments]
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, **pipes)  # noqa: S603 - our own program
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of wheels, the only source of packages for installers that start later."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "washer", "1.0")
    with pytest.MonkeyPatch.context() as patch:
        only_wheels(patch, folder, tmp_path_factory.mktemp("cache"))
        patch.setenv("RUNTIME_ENV_RETRY_TIMES", "1")  # Ray copies the whole virtual environment for each try
        yield folder


@pytest.fixture(scope="session")
def cluster(offline: Path) -> Iterator[Any]:
    """A Ray cluster on this machine: three nodes of one CPU each, whose installers only see the wheels."""
    utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: make test-heavy installs it")
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture(scope="session")
def on_ray(cluster: Any) -> OnRay:
    """Makes an executor on the cluster."""
    return OnRay(cluster.address)
