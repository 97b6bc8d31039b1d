"""Migration: documented uses of plugin releases in the published package work the same here.

Each program repeats the calls of a documented example: the same imports, names, order and argument styles. The URL and
token belong to a local agent with the plugins from the examples.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from synapse_agent_sdk import exceptions as ours
from synapse_sdk import exceptions
from synapse_sdk.clients import exceptions as documented
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.exceptions import ClientError

from tests.agent.helpers import wheel, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MY_PLUGIN = """
def train(params):
    return {"trained": params["epochs"]}

def process(params):
    return sorted(params)
"""
OCR_PLUGIN = """
import pillow

def process_document(params):
    return [params["file_path"], pillow.VERSION]
"""
ML_MODEL = """
def predict(params):
    return sum(params["data"])
"""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedAgent]:
    """An agent with the plugins of the examples and the packages they require."""
    wheels, registry = tmp_path / "wheels", tmp_path / "registry"
    wheels.mkdir()
    wheel(wheels, "pillow", "9.1.0")
    wheel(wheels, "numpy", "1.0")
    variables = {"UV_FIND_LINKS": wheels, "UV_NO_INDEX": 1, "UV_OFFLINE": 1, "UV_NO_CONFIG": 1}
    for name, value in {**variables, "UV_CACHE_DIR": tmp_path / "cache"}.items():
        monkeypatch.setenv(name, str(value))
    actions = {"train": "plugin:train", "process": "plugin:process"}
    write_plugin(registry, "my_plugin", {"plugin.py": MY_PLUGIN}, actions)
    actions = {"process_document": "plugin:process_document"}
    write_plugin(registry, "ocr_plugin", {"plugin.py": OCR_PLUGIN}, actions, "2.0.0")
    write_plugin(registry, "ml_model", {"plugin.py": ML_MODEL}, {"predict": "plugin:predict"}, "1.2.0")
    with ThreadedAgent(registry, debug_roots=[tmp_path]) as agent:
        yield agent


@pytest.fixture
def client(agent: ThreadedAgent) -> Iterator[AgentClient]:
    """The client that some examples start with."""
    client = AgentClient(base_url=agent.url, agent_token=agent.token)
    client.create_plugin_release("my_plugin", "1.0.0")
    yield client
    client.close()


def test_the_documented_constructor(agent: ThreadedAgent) -> None:
    """The client accepts the documented arguments, including `access_token`."""
    client = AgentClient(
        agent.url,
        agent.token,
        user_token="user-token",
        tenant="tenant-code",
        timeout={"connect": 3, "read": 10},
    )
    status = client.health_check()
    assert f"Agent status: {status['status']}" == "Agent status: ok"
    client = AgentClient(base_url=agent.url, access_token=agent.token)
    client.create_plugin_release("ml_model", "1.2.0")
    result = client.run_plugin_release(
        lookup="ml_model@1.2.0",
        action="predict",
        params={"data": [1, 2, 3, 4, 5]},
    )
    assert f"Prediction: {result}" == "Prediction: 15"


def test_the_documented_workflow(agent: ThreadedAgent) -> None:
    """A release can be cached, found by id or name, run, listed and deleted."""
    client = AgentClient(agent.url, agent.token)
    release = client.create_plugin_release(plugin="my_plugin", version="1.0.0")
    assert f"Cached: {release['id']}" == "Cached: 1"
    assert client.get_plugin_release("my_plugin@1.0.0") == client.get_plugin_release(str(release["id"])) == release
    assert client.run_plugin_release("my_plugin@1.0.0", "process", params={"a": 1}) == ["a"]
    releases, total = client.list_plugin_releases(list_all=True)
    assert [f"{release['plugin']}@{release['version']}" for release in releases] == ["my_plugin@1.0.0"]
    assert total == 1
    client.delete_plugin_release("my_plugin@1.0.0")
    assert client.list_plugin_releases(list_all=True) == ([], 0)


def test_the_documented_errors(client: AgentClient) -> None:
    """ClientError has the current and the v1 attributes, and the documented module has every error."""
    with pytest.raises(ClientError) as caught:
        client.get_plugin_release("my_plugin@9.9.9")
    error = caught.value
    assert (error.status_code, error.detail) == (404, "There is no release my_plugin@9.9.9.")
    assert (error.status, error.reason) == (error.status_code, error.detail)
    assert all(getattr(documented, name) is getattr(exceptions, name) for name in ours.__all__)


def test_the_documented_async_client(agent: ThreadedAgent) -> None:
    """The async client works as a context manager and with an awaited `close()`."""

    async def main() -> None:
        async with AsyncAgentClient(base_url=agent.url, agent_token=agent.token) as client:
            assert (await client.health_check())["status"] == "ok"
        client = AsyncAgentClient(agent.url, agent.token)
        try:
            assert (await client.health_check())["status"] == "ok"
        finally:
            await client.close()

    asyncio.run(main())


def test_a_run_brings_its_requirements(client: AgentClient) -> None:
    """A run with all documented arguments has the packages it requires."""
    client.create_plugin_release("ocr_plugin", "2.0.0")
    result = client.run_plugin_release(
        lookup="ocr_plugin@2.0.0",
        action="process_document",
        params={"file_path": "/data/document.pdf"},
        requirements=["pillow>=9.0.0"],
        job_id="job_abc123",
    )
    assert result == ["/data/document.pdf", "9.1.0"]


def test_all_styles_of_a_run_are_the_same(client: AgentClient) -> None:
    """Separate arguments, `data=` and a body in place of the action have the same result."""
    data = {"action": "train", "params": {"epochs": 10}, "job_id": "job-uuid"}
    new = client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 10}, job_id="job-uuid")
    old = client.run_plugin_release("my_plugin@1.0.0", data=data)
    assert client.run_plugin_release("my_plugin@1.0.0", data) == old == new == {"trained": 10}
    modules = {"v1": "def train(params):\n    return params['epochs']"}
    config = {"actions": {"train": {"entrypoint": "v1:train"}}}
    assert client.run_debug_plugin_release(data={**data, "modules": modules, "config": config}) == 10


def test_a_debug_run_takes_every_documented_argument(client: AgentClient, tmp_path: Path) -> None:
    """A debug run combines a source folder with configuration, modules and requirements."""
    source = write_plugin(tmp_path, "source", {"plugin.py": "from my_plugin.processor import Processor as run"})
    result = client.run_debug_plugin_release(
        action="process",
        params={"input": "test"},
        plugin_path=str(source),
        config={"debug": True, "actions": {"process": {"entrypoint": "my_plugin.processor:Processor.run"}}},
        modules={
            "my_plugin": "",
            "my_plugin.processor": (
                "import numpy\nclass Processor:\n    @staticmethod\n    def run(params):\n"
                "        return [params['input'], numpy.VERSION]\n"
            ),
        },
        requirements=["numpy"],
        job_id="debug_job_123",
    )
    assert result == ["test", "1.0"]


def test_what_has_to_be_changed_is_refused_at_once(client: AgentClient) -> None:
    """Calls that the migration page lists as changed or missing fail before anything is sent."""
    body = {"action": "train", "params": {"epochs": 1}}
    old: Any = AgentClient
    with pytest.raises(TypeError, match="long_poll_handler"):
        old(client.base_url, "token-token", long_poll_handler=None)
    old = client
    with pytest.raises(TypeError, match="code"):
        old.run_plugin_release(code="my_plugin@1.0.0", data=body)
    with pytest.raises(TypeError, match="version"):
        old.create_plugin_release({"plugin": "my_plugin", "version": "1.0.0"})
    with pytest.raises(ValueError, match="code@version"):
        client.run_plugin_release("my_plugin", "train")
    for name in ("list_jobs", "tail_job_logs", "list_docker_containers"):
        with pytest.raises(AttributeError, match=name):
            getattr(client, name)
