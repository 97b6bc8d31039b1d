"""Both sides of the contract: every operation has an endpoint, a method of both clients, and a handler."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pkgutil
import tomllib
from typing import TYPE_CHECKING

import pytest
import synapse_agent_api.api
from synapse_local_agent import contract
from synapse_local_agent.app import application
from synapse_local_agent.handlers import Handlers
from synapse_local_agent.limits import Limits
from synapse_local_agent.local import LocalExecutor
from synapse_local_agent.registry import Registry
from synapse_local_agent.runner import Runner
from synapse_local_agent.store import Store
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

from tests.contract.conftest import DOCUMENT, ROOT, operations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPERATION_IDS = [operation.id for operation in operations()]


@pytest.fixture
def handlers(tmp_path: Path) -> Iterator[Handlers]:
    """The handlers of an agent that is not served."""
    runner = Runner(tmp_path, Limits(), LocalExecutor(tmp_path, {}, Limits()))
    handlers = Handlers(Registry(tmp_path), Store(tmp_path), runner, [], "0")
    yield handlers
    asyncio.run(handlers.close())


def test_endpoints_are_the_operations() -> None:
    """The generated client has one endpoint module for each operation, and none beside them."""
    package = synapse_agent_api.api
    modules = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    assert sorted(module.name.rpartition(".")[2] for module in modules if not module.ispkg) == sorted(OPERATION_IDS)


@pytest.mark.parametrize("operation", OPERATION_IDS)
def test_clients_have_a_method(operation: str) -> None:
    """Both clients have a method of the operation's name."""
    assert inspect.isfunction(getattr(AgentClient, operation))
    assert inspect.isfunction(getattr(AsyncAgentClient, operation))


def test_handlers_are_the_operations() -> None:
    """The agent has one handler for each operation, and none beside them."""
    names = [name for name, _ in inspect.getmembers(Handlers, inspect.iscoroutinefunction) if name[0] != "_"]
    assert sorted(names) == sorted([*OPERATION_IDS, "start", "close"])


def test_agent_reads_the_contract() -> None:
    """The document that the agent serves from is the one in openapi/."""
    assert contract.load() == DOCUMENT


def test_wheel_ships_the_contract() -> None:
    """The wheel carries the document of openapi/ at the place where the agent looks for it."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"] == {"openapi/agent.yaml": "synapse_local_agent/agent.yaml"}


def test_operation_without_handler_stops_the_start(handlers: Handlers) -> None:
    """A contract with an operation that has no handler is an error at the start, which names the operation."""
    application(DOCUMENT, handlers, "token")
    document = copy.deepcopy(DOCUMENT)
    document["paths"]["/later/"] = copy.deepcopy(document["paths"]["/health/"])
    document["paths"]["/later/"]["get"]["operationId"] = "later_operation"
    with pytest.raises(LookupError, match="later_operation"):
        application(document, handlers, "token")
