"""Moving over: what the documentation of the published package shows of plugin releases does here what it does there.

Each program makes the calls of a documented example, in its spelling: the same imports, names, order and forms of
arguments. URL and token are those of a local agent, which has plugins of the names that the examples use.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients import exceptions as documented
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.clients.exceptions import ClientError

from tests.agent.helpers import wheel, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
    """An agent with the plugins of the examples, and the packages that they require."""
    wheels, registry = tmp_path / "wheels", tmp_path / "registry"
    wheels.mkdir()
    wheel(wheels, "pillow", "9.1.0")
    wheel(wheels, "numpy", "1.0")
    variables = {"UV_FIND_LINKS": wheels, "UV_NO_INDEX": 1, "UV_OFFLINE": 1, "UV_NO_CONFIG": 1}
    for name, value in {**variables, "UV_CACHE_DIR": tmp_path / "cache"}.items():
        monkeypatch.setenv(name, str(value))
    actions = {"train": "plugin:train", "process": "plugin:process"}
    write_plugin(registry, "my_plugin", {"plugin.py": MY_PLUGIN}, actions)
    write_plugin(
        registry, "ocr_plugin", {"plugin.py": OCR_PLUGIN}, {"process_document": "plugin:process_document"}, "2.0.0"
    )
    write_plugin(registry, "ml_model", {"plugin.py": ML_MODEL}, {"predict": "plugin:predict"}, "1.2.0")
    with ThreadedAgent(registry, debug_roots=[tmp_path]) as agent:
        yield agent


@pytest.fixture
def client(agent: ThreadedAgent) -> Iterator[AgentClient]:
    """The client of the examples that begin with one."""
    client = AgentClient(base_url=agent.url, agent_token=agent.token)
    client.create_plugin_release("my_plugin", "1.0.0")
    yield client
    client.close()


def constructor(agent: ThreadedAgent) -> list[Any]:
    """The arguments that the documented constructor has."""
    client = AgentClient(
        agent.url,
        agent.token,
        user_token="user-token",
        tenant="tenant-code",
        timeout={"connect": 3, "read": 10},
    )
    return [client.health_check()["status"]]


def usage(agent: ThreadedAgent) -> list[Any]:
    """Agent client, usage: a health check."""
    client = AgentClient(base_url=agent.url, agent_token=agent.token)
    status = client.health_check()
    return [f"Agent status: {status['status']}"]


def with_access_token(agent: ThreadedAgent) -> list[Any]:
    """Plugin releases, usage with the agent client: another name of the token, and arguments by position."""
    client = AgentClient(base_url=agent.url, access_token=agent.token)
    client.create_plugin_release("ml_model", "1.2.0")
    result = client.run_plugin_release(
        lookup="ml_model@1.2.0",
        action="predict",
        params={"data": [1, 2, 3, 4, 5]},
    )
    return [f"Prediction: {result}"]


def workflow(agent: ThreadedAgent) -> list[Any]:
    """Plugin releases, typical workflow: cache, run, clean up."""
    client = AgentClient(agent.url, agent.token)
    client.create_plugin_release("my_plugin", "1.0.0")
    result = client.run_plugin_release("my_plugin@1.0.0", "process", params={"a": 1})
    client.delete_plugin_release("my_plugin@1.0.0")
    return [result, client.list_plugin_releases(list_all=True)]


def errors(agent: ThreadedAgent) -> list[Any]:
    """Agent client, handling errors: one class, told apart by status."""
    client = AgentClient(agent.url, agent.token)
    try:
        client.get_plugin_release("my_plugin@9.9.9")
    except ClientError as e:
        if e.status_code == 404:
            return ["not found", e.detail]
    return ["no error"]


def errors_of_v1(agent: ThreadedAgent) -> list[Any]:
    """The same with the names of v1."""
    client = AgentClient(agent.url, agent.token)
    try:
        client.get_plugin_release("my_plugin@9.9.9")
    except ClientError as e:
        if e.status == 404:
            return ["not found", e.reason]
    return ["no error"]


def asynchronous(agent: ThreadedAgent) -> list[Any]:
    """Async agent client, with a context manager."""

    async def main() -> list[Any]:
        async with AsyncAgentClient(base_url=agent.url, agent_token=agent.token) as client:
            status = await client.health_check()
            return [status["status"]]

    return asyncio.run(main())


def asynchronous_closed_by_hand(agent: ThreadedAgent) -> list[Any]:
    """Async agent client, without a context manager: `close` is awaited."""

    async def main() -> list[Any]:
        client = AsyncAgentClient(agent.url, agent.token)
        try:
            status = await client.health_check()
        finally:
            await client.close()
        return [status["status"]]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (constructor, ["ok"]),
        (usage, ["Agent status: ok"]),
        (with_access_token, ["Prediction: 15"]),
        (workflow, [["a"], ([], 0)]),
        (errors, ["not found", "There is no release my_plugin@9.9.9."]),
        (errors_of_v1, ["not found", "There is no release my_plugin@9.9.9."]),
        (asynchronous, ["ok"]),
        (asynchronous_closed_by_hand, ["ok"]),
    ],
)
def test_program_does_what_it_did(
    agent: ThreadedAgent, program: Callable[[ThreadedAgent], Any], printed: list[Any]
) -> None:
    """A documented program that makes its own client runs unchanged."""
    assert program(agent) == printed


def test_a_client_without_a_token_takes_it_from_the_environment(
    agent: ThreadedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documented `AgentClient(base_url=...)` lists all releases where the environment has the token."""
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", agent.token)
    client = AgentClient(base_url=agent.url)
    client.create_plugin_release("my_plugin", "1.0.0")
    releases, total = client.list_plugin_releases(list_all=True)
    assert [f"{release['plugin']}@{release['version']}" for release in releases] == ["my_plugin@1.0.0"]
    assert total == 1


def test_a_release_is_got_by_either_name(client: AgentClient) -> None:
    """A release is found by code and version, and by its id as a text."""
    release = client.get_plugin_release("my_plugin@1.0.0")
    assert client.get_plugin_release(str(release["id"])) == release


def test_creating_says_what_was_cached(client: AgentClient) -> None:
    """A release that is cached by keywords comes back with its id."""
    release = client.create_plugin_release(plugin="my_plugin", version="1.0.0")
    assert f"Cached: {release['id']}" == "Cached: 1"


def test_a_run_brings_its_requirements(client: AgentClient) -> None:
    """A run with all documented arguments has the packages that it asks for."""
    client.create_plugin_release("ocr_plugin", "2.0.0")
    result = client.run_plugin_release(
        lookup="ocr_plugin@2.0.0",
        action="process_document",
        params={"file_path": "/data/document.pdf"},
        requirements=["pillow>=9.0.0"],
        job_id="job_abc123",
    )
    assert result == ["/data/document.pdf", "9.1.0"]


def test_both_styles_of_a_run_are_the_same(client: AgentClient) -> None:
    """A run with its whole body as `data`, and one with arguments, do the same."""
    old = client.run_plugin_release(
        "my_plugin@1.0.0",
        data={"action": "train", "params": {"epochs": 10}, "job_id": "job-uuid"},
    )
    new = client.run_plugin_release("my_plugin@1.0.0", "train", params={"epochs": 10}, job_id="job-uuid")
    assert old == new == {"trained": 10}


def test_a_debug_run_takes_every_documented_argument(client: AgentClient, tmp_path: Path) -> None:
    """A run from a folder of sources, with configuration, modules and requirements laid over it."""
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


def test_v1_gave_the_body_in_the_actions_place(client: AgentClient) -> None:
    """The command line of v1 gave a run its body by position, and a debug run by name."""
    data = {"action": "train", "params": {"epochs": 3}, "job_id": "job-1"}
    assert client.run_plugin_release("my_plugin@1.0.0", data) == {"trained": 3}
    modules = {"v1": "def train(params):\n    return params['epochs']"}
    config = {"actions": {"train": {"entrypoint": "v1:train"}}}
    assert client.run_debug_plugin_release(data={**data, "modules": modules, "config": config}) == 3


def test_errors_have_their_documented_module() -> None:
    """`synapse_sdk.clients.exceptions` has every error, and each is that of `synapse_sdk.exceptions`."""
    assert all(getattr(documented, name) is getattr(exceptions, name) for name in exceptions.__all__)


@pytest.mark.parametrize("name", ["list_jobs", "tail_job_logs", "list_docker_containers"])
def test_what_is_missing_is_an_attribute_error(client: AgentClient, name: str) -> None:
    """What the migration page calls missing fails by its name, at the first use."""
    with pytest.raises(AttributeError, match=name):
        getattr(client, name)


def test_what_has_to_be_changed_is_refused_at_once(client: AgentClient) -> None:
    """The lines that the migration page has changed raise a TypeError here, before anything is sent."""
    body = {"action": "train", "params": {"epochs": 1}}
    old: Any = AgentClient
    with pytest.raises(TypeError, match="long_poll_handler"):
        old(client.base_url, "token-token", long_poll_handler=None)
    old = client
    with pytest.raises(TypeError, match="code"):
        old.run_plugin_release(code="my_plugin@1.0.0", data=body)
    with pytest.raises(TypeError, match="version"):
        old.create_plugin_release({"plugin": "my_plugin", "version": "1.0.0"})


def test_a_lookup_without_a_version_is_refused(client: AgentClient) -> None:
    """Where the published client sent a plugin's bare code, this one says what is missing."""
    with pytest.raises(ValueError, match="code@version"):
        client.run_plugin_release("my_plugin", "train")
