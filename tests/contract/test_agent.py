"""The local agent implements the contract: it returns every response field and reads every request field."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from synapse_agent_sdk import AgentClient, __version__, exceptions
from synapse_local_agent.releases.store import Store
from synapse_local_agent.web import contract

from tests.contract.conftest import DOCUMENT, ROOT
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.contract

SCHEMAS = DOCUMENT["components"]["schemas"]
PLUGIN = '''
def tell(params, context):
    """Return everything that the action receives."""
    names = ("job_id", "language", "plugin", "version", "config")
    return {"params": params, **{name: getattr(context, name) for name in names}}
'''


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentClient]:
    """A client of an agent with a plugin that returns its input."""
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
    """Releases and pages have exactly the fields in the contract; `created` is the time of caching."""
    fields = SCHEMAS["PluginRelease"]["properties"].keys()
    assert client.create_plugin_release("teller", "1.0").keys() == fields
    assert client.get_plugin_release("teller@1.0").keys() == fields
    client.delete_plugin_release("teller@1.0")
    begun = datetime.now(UTC) - timedelta(milliseconds=1)  # `created` has millisecond precision
    created = client.create_plugin_release("teller", "1.0")
    assert begun <= datetime.fromisoformat(created["created"]) <= datetime.now(UTC)
    page = client.list_plugin_releases()
    assert page.keys() == SCHEMAS["PluginReleasePage"]["properties"].keys()
    assert page["results"] == [created]
    assert created.keys() == fields


def test_health_has_every_field(client: AgentClient) -> None:
    """The health check has exactly the fields in the contract."""
    health = client.health_check()
    assert health.keys() == SCHEMAS["Health"]["properties"].keys()
    assert health == {"status": "ok", "version": __version__}


def test_errors_have_every_field(client: AgentClient) -> None:
    """Errors and validation issues have every field in the contract."""
    with pytest.raises(exceptions.ValidationError) as caught:
        client.run_plugin_release("teller@1.0", "tell", requirements=["no requirement !"])
    assert caught.value.error_type == "requirements_failed"
    assert str(caught.value.detail).startswith("requirements: ")
    with pytest.raises(exceptions.ValidationError) as caught:
        client.run_plugin_release("teller@1.0", data={"action": "tell", "params": []})
    (issue,) = caught.value.detail
    assert issue.keys() == SCHEMAS["ValidationIssue"]["properties"].keys()


def test_a_fault_of_the_agent_is_described(client: AgentClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """An internal error is a 500 that names the exception and closes the connection."""
    monkeypatch.setattr(Store, "page", lambda *_: 1 / 0)
    with pytest.raises(exceptions.ServerError) as caught:
        client.list_plugin_releases()
    assert caught.value.status_code == 500
    assert caught.value.detail == "The agent failed: ZeroDivisionError. Its log has the traceback."
    assert caught.value.headers["connection"] == "close"  # otherwise the next run could be sent on a closing connection


def test_runs_read_every_field(client: AgentClient) -> None:
    """Every field of a run and a debug run reaches the action."""
    given: dict[str, Any] = {"action": "tell", "params": {"a": 1}, "job_id": "job-1", "language": "ko"}
    told = client.run_plugin_release("teller@1.0", **given)
    assert (told["params"], told["job_id"], told["language"]) == ({"a": 1}, "job-1", "ko")
    assert (told["plugin"], told["version"], told["config"]["code"]) == ("teller", "1.0", "teller")
    told = client.run_debug_plugin_release(
        **given,
        plugin_path=ROOT / "examples" / "plugins" / "text_stats",
        config={"debug": True, "actions": {"tell": {"entrypoint": "sent:tell"}}},
        modules={"sent": PLUGIN},
    )
    assert (told["params"], told["job_id"], told["language"]) == ({"a": 1}, "job-1", "ko")
    assert (told["plugin"], told["config"]["debug"]) == ("text_stats", True)


def test_an_operation_without_a_handler_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent serves openapi/agent.yaml, and does not start if an operation has no handler."""
    assert contract.load() == DOCUMENT
    document = copy.deepcopy(DOCUMENT)
    document["paths"]["/later/"] = copy.deepcopy(document["paths"]["/health/"])
    document["paths"]["/later/"]["get"]["operationId"] = "later_operation"
    monkeypatch.setattr(contract, "load", lambda: document)
    with pytest.raises(LookupError, match="later_operation"), ThreadedAgent(tmp_path):
        pass
