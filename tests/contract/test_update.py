"""`tools/update.py` lists the gaps of the wrapper for a new contract."""

from __future__ import annotations

import copy

import pytest
from synapse_agent_sdk import AgentClient, AsyncAgentClient

from tests.contract.conftest import DOCUMENT
from tools import update


@pytest.mark.contract
def test_the_wrapper_covers_the_contract() -> None:
    """Both clients have every operation and argument in the contract."""
    lines = update.lacking(DOCUMENT, AgentClient) + update.lacking(DOCUMENT, AsyncAgentClient)
    assert not lines, "\n".join(["Missing from the wrapper:", *lines])


@pytest.mark.heavy
def test_what_the_wrapper_lacks_is_listed() -> None:
    """Missing operations, parameters and fields are listed by name."""
    document = copy.deepcopy(DOCUMENT)
    run = document["paths"]["/plugin_releases/{lookup}/run/"]["post"]
    run["parameters"].append({"name": "dry_run", "in": "query", "schema": {"type": "boolean"}})
    document["components"]["schemas"]["RunPluginReleaseRequest"]["properties"]["priority"] = {"type": "integer"}
    history = {**copy.deepcopy(document["paths"]["/plugin_releases/{lookup}"]["get"]), "operationId": "get_history"}
    document["paths"]["/plugin_releases/{lookup}/history"] = {"get": history}
    lacked = update.lacking(DOCUMENT, AgentClient)
    assert [line for line in update.lacking(document, AgentClient) if line not in lacked] == [
        "AgentClient.run_plugin_release(dry_run=)",
        "AgentClient.run_plugin_release(priority=)",
        "AgentClient.get_history() for GET /plugin_releases/{lookup}/history",
    ]
