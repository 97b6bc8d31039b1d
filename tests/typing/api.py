"""Code as users write it, checked by mypy and pyright but never run.

`assert_type` gives the type that a checker must infer. wrong_calls.txt has the calls to reject.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type
from uuid import uuid4

import httpx
from synapse_agent_api.typed_dicts import Health, PluginRelease, PluginReleasePage
from synapse_agent_sdk import AgentClient, AsyncAgentClient, RawResponse, ReleaseLookup, RetryPolicy
from synapse_agent_sdk.exceptions import ActionFailedError, ClientError, HTTPError
from synapse_agent_sdk.testing.agent import ProxiedAgent
from synapse_agent_sdk.testing.faults import Fault, lost_answer, reply, status
from synapse_agent_sdk.testing.proxy import AgentFaults
from synapse_agent_sdk.testing.server import FaultServer, Received
from synapse_local_agent import LocalAgent

if TYPE_CHECKING:
    from synapse_agent_api.models import PluginRelease as PluginReleaseModel
    from synapse_agent_sdk.testing.calls import AgentCalls


def construct(folder: Path) -> None:
    """Constructor arguments."""
    AgentClient()
    AgentClient("http://127.0.0.1:8600", "token")
    AgentClient(
        base_url="https://agent.example.com",
        access_token="token",
        user_token="user",
        tenant="tenant",
        timeout=30,
        headers={"X-Trace": "1"},
        retry=RetryPolicy(attempts=5, replay_runs=True),
        limits=httpx.Limits(max_connections=5),
    )
    AsyncAgentClient(agent_token="token", timeout=(3, None))
    AsyncAgentClient(timeout={"connect": 3, "read": 10.5})
    AsyncAgentClient(timeout=httpx.Timeout(5), retry=None)
    AgentClient(http_client=httpx.Client())
    AgentClient(transport=httpx.HTTPTransport(retries=0))
    AsyncAgentClient(http_client=httpx.AsyncClient())
    AsyncAgentClient(transport=httpx.AsyncHTTPTransport())
    assert_type(AgentClient.local(registry="examples/plugins"), AgentClient)
    assert_type(AsyncAgentClient.local(folder, timeout=5), AsyncAgentClient)
    with LocalAgent(folder, data=folder, debug_roots=[folder, "."]) as agent, AgentClient(agent.url) as client:
        assert_type(agent.token, str)
        assert_type(client, AgentClient)
        assert_type(client.base_url, str)


def read(client: AgentClient, *, every: bool) -> None:
    """Read calls and the keys of their results."""
    assert_type(client.health_check(), Health)
    # Optional keys need get(): pyright rejects ["status"], mypy does not.
    assert_type(client.health_check().get("status"), str | None)

    page = client.list_plugin_releases()
    assert_type(page, PluginReleasePage)
    assert_type(page["count"], int)
    assert_type(page["next"], str | None)
    assert_type(page["results"][0]["version"], str)
    assert_type(client.list_plugin_releases({"page": 2, "plugin": "ocr"}, list_all=False), PluginReleasePage)

    releases, total = client.list_plugin_releases({"plugin": "ocr"}, list_all=True)
    assert_type(releases, list[PluginRelease])
    assert_type(total, int)
    assert_type(client.list_plugin_releases(list_all=every), PluginReleasePage | tuple[list[PluginRelease], int])

    for each in client.iter_plugin_releases({"plugin": "ocr"}):
        assert_type(each, PluginRelease)
    assert_type(next(client.iter_plugin_releases()), PluginRelease)
    assert_type(next(client.iter_plugin_releases().pages()), PluginReleasePage)

    release = client.get_plugin_release("my_plugin@1.0.0")
    assert_type(release, PluginRelease)
    assert_type(release["id"], int)
    assert_type(release["plugin"], str)
    assert_type(release.get("size"), int | None)
    assert_type(release.get("created"), str | None)


def lookups(client: AgentClient, model: PluginReleaseModel, saved: dict[str, Any]) -> None:
    """All lookup types."""
    release = client.create_plugin_release(plugin="my_plugin", version="1.0.0")
    assert_type(release, PluginRelease)
    client.get_plugin_release("123")
    client.get_plugin_release(123)
    client.get_plugin_release(release)
    client.get_plugin_release(saved)
    client.get_plugin_release(model)
    client.get_plugin_release(ReleaseLookup.parse("my_plugin@1.0.0+lig"))
    client.get_plugin_release({"plugin": "my_plugin", "version": "1.0.0"})
    client.delete_plugin_release(release)


def runs(client: AgentClient) -> None:
    """Current and v1 calls that run an action."""
    result = client.run_plugin_release(
        "ocr_plugin@2.0.0",
        "process_document",
        params={"file_path": "/data/document.pdf", "pages": [1, 2], "options": {"dpi": 300}},
        requirements=["pillow>=9.0.0"],
        job_id="job_abc123",
        language="ko",
        idempotency_key=str(uuid4()),
        timeout=3600,
    )
    assert_type(result, Any)
    client.run_plugin_release(123, "train", {"epochs": 10})
    client.run_plugin_release(123, action="train", params=None, requirements=("numpy",))
    client.run_plugin_release("my_plugin@1.0.0", data={"action": "train", "params": {"epochs": 10}})
    client.run_plugin_release("my_plugin@1.0.0", {"action": "train"})

    debug = client.run_debug_plugin_release(
        action="process",
        params={"input": "test"},
        plugin_path=Path("/path/to/plugin/source"),
        config={"debug": True},
        modules={"my_plugin.processor": "class Processor: ..."},
        requirements=["numpy"],
        job_id="debug_job_123",
        language="en",
        idempotency_key=None,
        timeout=(3, 60),
    )
    assert_type(debug, Any)
    client.run_debug_plugin_release("process", {"input": "test"}, plugin_path="/path")
    client.run_debug_plugin_release(data={"action": "process"})
    client.run_debug_plugin_release({"action": "process"})


def prune(client: AgentClient) -> None:
    """All age types."""
    assert_type(client.prune_plugin_releases(older_than="30d", keep=2, plugin="ocr", dry_run=True), list[PluginRelease])
    client.prune_plugin_releases(older_than=timedelta(days=30))
    client.prune_plugin_releases(older_than=datetime.now(UTC))


def composed(client: AgentClient) -> None:
    """The release context."""
    with client.plugin_release("my_plugin", "1.0.0", delete=True) as release:
        assert_type(release.info, PluginRelease)
        assert_type(release.run("train", {"epochs": 10}, job_id="job", timeout=3600), Any)
        release.run(data={"action": "train"})
    client.plugin_release("my_plugin@1.0.0")


def raw(client: AgentClient) -> None:
    """Raw responses."""
    response = client.with_raw_response.get_plugin_release("my_plugin@1.0.0")
    assert_type(response, RawResponse[PluginRelease])
    assert_type(response.status_code, int)
    assert_type(response.headers["content-type"], str)
    assert_type(response.elapsed, timedelta)
    assert_type(response.attempts, int)
    assert_type(response.request_id, str | None)
    assert_type(response.parse(), PluginRelease)
    assert_type(client.with_raw_response.health_check().parse(), Health)
    assert_type(client.with_raw_response.list_plugin_releases({"page": 2}).parse(), PluginReleasePage)
    assert_type(client.with_raw_response.create_plugin_release("my_plugin", "1.0.0").parse(), PluginRelease)
    assert_type(client.with_raw_response.delete_plugin_release(1), RawResponse[None])
    assert_type(client.with_raw_response.run_plugin_release(1, "train", {}, job_id="job").parse(), Any)
    assert_type(client.with_raw_response.run_debug_plugin_release("train", plugin_path="/path").parse(), Any)


async def awaited(client: AsyncAgentClient, *, every: bool) -> None:
    """The same calls with the async client."""
    async with client as entered:
        assert_type(entered, AsyncAgentClient)
    assert_type(await client.health_check(), Health)
    assert_type(await client.list_plugin_releases({"page_size": 50}), PluginReleasePage)
    releases, total = await client.list_plugin_releases(list_all=True)
    assert_type(releases, list[PluginRelease])
    assert_type(total, int)
    either = await client.list_plugin_releases(list_all=every)
    assert_type(either, PluginReleasePage | tuple[list[PluginRelease], int])
    assert_type(await client.get_plugin_release(123), PluginRelease)
    assert_type(await client.create_plugin_release("my_plugin", "1.0.0"), PluginRelease)
    async for each in client.iter_plugin_releases({"plugin": "ocr"}):
        assert_type(each, PluginRelease)
    await client.delete_plugin_release(releases[0])
    assert_type(await client.run_plugin_release(123, "train", {"epochs": 10}, timeout={"read": None}), Any)
    assert_type(await client.run_plugin_release(123, data={"action": "train"}), Any)
    assert_type(await client.run_debug_plugin_release("process", plugin_path="/path"), Any)
    assert_type(await client.run_debug_plugin_release({"action": "process"}), Any)
    assert_type(await client.prune_plugin_releases(keep=2), list[PluginRelease])
    async with client.plugin_release("my_plugin", "1.0.0") as release:
        assert_type(release.info, PluginRelease)
        assert_type(await release.run("train", {"epochs": 10}, timeout=3600), Any)
    assert_type(await client.with_raw_response.get_plugin_release(1), RawResponse[PluginRelease])
    assert_type((await client.with_raw_response.list_plugin_releases()).parse(), PluginReleasePage)
    assert_type((await client.with_raw_response.run_plugin_release(1, "train")).attempts, int)
    await client.aclose()


def errors(client: AgentClient) -> None:
    """Attributes of errors."""
    try:
        client.delete_plugin_release(1)
    except ActionFailedError as error:
        assert_type(error.error_type, str | None)
    except HTTPError as error:
        assert_type(error.status_code, int | None)
    except ClientError as error:
        assert_type(error.detail, Any)
        assert_type(error.status, int | None)
        assert_type(error.reason, Any)
    finally:
        client.close()


def fixtures(
    local_agent: ProxiedAgent,
    agent_client: AgentClient,
    async_agent_client: AsyncAgentClient,
    agent_faults: AgentFaults,
    agent_calls: AgentCalls,
) -> None:
    """Fixture types in a user's test."""
    assert_type(local_agent.url, str)
    assert_type(local_agent.direct_url, str)
    assert_type(local_agent.token, str)
    assert_type(local_agent.faults, AgentFaults)
    assert_type(status(503, retry_after=1), Fault)
    agent_faults.next(status(503), lost_answer(), times=2, operation="run_plugin_release")
    agent_faults.always(status(429, {"queue": "full"}, error_type="busy"))
    with agent_faults.down():
        agent_faults.clear()
    assert_type(agent_faults.unmet, list[str])
    assert_type(agent_calls[0], Received)
    assert_type(agent_calls[-2:], list[Received])
    assert_type(agent_calls.of("run_plugin_release"), list[Received])
    assert_type(agent_calls.operations, list[str | None])
    for call in agent_calls:
        assert_type(call, Received)
        assert_type(call.operation, str | None)
        assert_type(call.headers["authorization"], str)
        assert_type(call.json, Any)
    with ProxiedAgent("plugins", token="token") as agent, FaultServer([reply({"id": 7})]) as server:
        assert_type(agent, ProxiedAgent)
        assert_type(server.requests, list[Received])
    assert_type(agent_client.health_check(), Health)
    assert_type(async_agent_client.base_url, str)
