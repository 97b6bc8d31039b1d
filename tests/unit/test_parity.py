"""Sync and async clients have the same methods with the same signatures."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_overloads

import pytest
from synapse_agent_sdk import AgentClient, AsyncAgentClient
from synapse_agent_sdk.runtime import AsyncItems, Items

from tests.contract.conftest import operations

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.contract
NOT_AWAITED = {"iter_plugin_releases", "local", "plugin_release"}
"""Methods that are not awaited in either client."""
RETURNS = {
    name: f"Async{name}" for name in ("Items[PluginReleasePage, PluginRelease]", "ReleaseContext", "WithRawResponse")
}
"""Types with another name in the async client."""
FLAVOURS = pytest.mark.parametrize("cls", [AgentClient, AsyncAgentClient])


def public(cls: type) -> dict[str, Any]:
    """The public methods and properties of a class."""
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


OPERATIONS = {operation.id for operation in operations()}
METHODS = sorted(name for name, value in public(AgentClient).items() if not isinstance(value, property))


def described(method: Callable[..., Any]) -> tuple[list[tuple[str, Any, Any, Any]], Any]:
    """A signature as names, kinds, defaults, annotations and return type."""
    signature = inspect.signature(method)
    parameters = [(each.name, each.kind, each.default, each.annotation) for each in signature.parameters.values()]
    return parameters, RETURNS.get(signature.return_annotation, signature.return_annotation)


def properties(cls: type) -> dict[str, str]:
    """The public properties of a class, with their types."""
    types = {name: each.fget.__annotations__["return"] for name, each in public(cls).items() if hasattr(each, "fget")}
    return {name: RETURNS.get(kind, kind) for name, kind in types.items()}


def test_both_have_the_same_methods() -> None:
    """Both clients have the same methods, arguments and properties; the async one also has aclose."""
    assert public(AsyncAgentClient).keys() == {*public(AgentClient), "aclose"}
    assert public(Items).keys() == public(AsyncItems).keys() == {"pages"}
    assert inspect.signature(AgentClient.__exit__) == inspect.signature(AsyncAgentClient.__aexit__)
    assert described(AgentClient) == described(AsyncAgentClient)
    assert properties(AgentClient) == properties(AsyncAgentClient) != {}


@pytest.mark.parametrize("name", METHODS)
def test_signatures_are_the_same(name: str) -> None:
    """Sync and async versions of a method have the same signature and overloads; the async one is awaited."""
    one, other = getattr(AgentClient, name), getattr(AsyncAgentClient, "aclose" if name == "close" else name)
    assert described(one) == described(other)
    assert [described(each) for each in get_overloads(one)] == [described(each) for each in get_overloads(other)]
    assert len(get_overloads(one)) == (3 if name == "list_plugin_releases" else 0)
    assert not inspect.iscoroutinefunction(one)
    assert inspect.iscoroutinefunction(other) is (name not in NOT_AWAITED)


@FLAVOURS
def test_raw_responses_and_cached_releases_take_the_same_arguments(cls: type) -> None:
    """with_raw_response has exactly the contract's operations; a release's run takes the client's arguments."""
    client = cls("http://127.0.0.1:1", trust_env=False)
    assert {name for name in dir(client.with_raw_response) if not name.startswith("_")} == OPERATIONS
    for name in OPERATIONS:
        raw, method = getattr(client.with_raw_response, name), getattr(client, name)
        mine, theirs = (
            [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]
            for function in (raw, method)
        )
        assert mine == theirs, name
        assert inspect.iscoroutinefunction(raw) is (cls is AsyncAgentClient), name
    release = client.plugin_release("ocr", "1.0.0")
    assert {name for name in dir(release) if not name.startswith("_")} == {"info", "run"}
    assert described(release.run)[0] == described(client.run_plugin_release)[0][1:]
