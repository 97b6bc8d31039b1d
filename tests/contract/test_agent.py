"""The local agent, held against the contract: it answers every field that the contract has, and reads every one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent.store import Store
from synapse_sdk import __version__, exceptions
from synapse_sdk.clients.agent import AgentClient

from tests.contract.conftest import DOCUMENT, ROOT
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMAS = DOCUMENT["components"]["schemas"]
PLUGIN = '''
def tell(params, context):
    """Give back all that an action is told."""
    names = ("job_id", "language", "plugin", "version", "config")
    return {"params": params, **{name: getattr(context, name) for name in names}}
'''


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    """A client of an agent that has a plugin which tells what it is told."""
    registry: Path = tmp_path_factory.mktemp("registry")
    (registry / "teller").mkdir()
    config = "code: teller\nversion: '1.0'\nactions: {tell: {entrypoint: 'teller_plugin:tell'}}\n"
    (registry / "teller" / "config.yaml").write_text(config)
    (registry / "teller" / "teller_plugin.py").write_text(PLUGIN)
    with (
        ThreadedAgent(registry, debug_roots=[registry, ROOT]) as agent,
        AgentClient(agent.url, agent.token, trust_env=False) as client,
    ):
        client.create_plugin_release("teller", "1.0")
        yield client


def test_releases_have_every_field(client: AgentClient) -> None:
    """A release has every field of the contract, and no other."""
    fields = SCHEMAS["PluginRelease"]["properties"].keys()
    assert client.get_plugin_release("teller@1.0").keys() == fields
    assert client.create_plugin_release("teller", "1.0").keys() == fields
    assert client.list_plugin_releases()["results"][0].keys() == fields


def test_releases_tell_when_they_were_cached(client: AgentClient) -> None:
    """A release's time is that of its caching, since releases that are old get pruned."""
    client.delete_plugin_release("teller@1.0")
    begun = datetime.now(UTC) - timedelta(milliseconds=1)  # which is as precise as it is told
    created = datetime.fromisoformat(client.create_plugin_release("teller", "1.0")["created"])
    assert begun <= created <= datetime.now(UTC)


def test_pages_have_every_field(client: AgentClient) -> None:
    """A page has every field of the contract, and no other."""
    assert client.list_plugin_releases().keys() == SCHEMAS["PluginReleasePage"]["properties"].keys()


def test_health_has_every_field(client: AgentClient) -> None:
    """The health check has every field of the contract, and no other."""
    health = client.health_check()
    assert health.keys() == SCHEMAS["Health"]["properties"].keys()
    assert health == {"status": "ok", "version": __version__}


def test_issues_have_every_field(client: AgentClient) -> None:
    """An issue with a request has every field of the contract, and no other."""
    with pytest.raises(exceptions.ValidationError) as caught:
        client.run_plugin_release("teller@1.0", data={"action": "tell", "params": []})
    (issue,) = caught.value.detail
    assert issue.keys() == SCHEMAS["ValidationIssue"]["properties"].keys()


def test_errors_have_every_field(client: AgentClient) -> None:
    """An error whose kind the agent names has both fields of the contract."""
    with pytest.raises(exceptions.ValidationError) as caught:
        client.run_plugin_release("teller@1.0", "tell", requirements=["no requirement !"])
    assert caught.value.error_type == "requirements_failed"
    assert str(caught.value.detail).startswith("requirements: ")


def test_a_fault_of_the_agent_is_described(client: AgentClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the agent itself is an error of the contract, which names the exception, and ends the connection."""
    monkeypatch.setattr(Store, "page", lambda *_: 1 / 0)
    with pytest.raises(exceptions.ServerError) as caught:
        client.list_plugin_releases()
    assert caught.value.status_code == 500
    assert caught.value.detail == "The agent failed: ZeroDivisionError. Its log has the traceback."
    assert caught.value.headers["connection"] == "close"  # or the next run could be sent into its end


def test_runs_read_every_field(client: AgentClient) -> None:
    """Every field of a run reaches its action."""
    told = client.run_plugin_release("teller@1.0", "tell", {"a": 1}, job_id="job-1", language="ko")
    assert told["params"] == {"a": 1}
    assert (told["job_id"], told["language"], told["plugin"], told["version"]) == ("job-1", "ko", "teller", "1.0")
    assert told["config"]["code"] == "teller"


def test_debug_runs_read_every_field(client: AgentClient) -> None:
    """Every field of a debug run reaches its action."""
    told: Any = client.run_debug_plugin_release(
        "tell",
        {"a": 1},
        plugin_path=ROOT / "examples" / "plugins" / "text_stats",
        config={"debug": True, "actions": {"tell": {"entrypoint": "sent:tell"}}},
        modules={"sent": PLUGIN},
        job_id="job-1",
        language="ko",
    )
    assert told["params"] == {"a": 1}
    assert (told["job_id"], told["language"], told["plugin"]) == ("job-1", "ko", "text_stats")
    assert told["config"]["debug"] is True


def test_a_key_runs_an_action_once(client: AgentClient, tmp_path: Path) -> None:
    """A run that is repeated with its key is answered with the first answer, and not carried out again."""
    key = "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"
    counter = tmp_path / "runs"
    source = (
        "def run(path):\n    with open(path, 'a') as file:\n        file.write('.')\n    return open(path).read()\n"
    )
    call: dict[str, Any] = {
        "action": "run",
        "params": {"path": str(counter)},
        "modules": {"counting": source},
        "config": {"actions": {"run": {"entrypoint": "counting:run"}}},
        "idempotency_key": key,
    }
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(client.run_debug_plugin_release(**call))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["."] * 3
    assert counter.read_text() == "."
