"""Docstrings: examples run against a real agent, and public names are fully documented."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import inspect
import os
import pkgutil
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import synapse_agent_sdk
import synapse_local_agent
from synapse_agent_sdk import AgentClient, AsyncAgentClient, exceptions
from synapse_local_agent import LocalAgent

from tests.e2e.conftest import REPOSITORY
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType


def modules() -> Iterator[ModuleType]:
    """Yield every module of the SDK and the local agent, except those that need Ray if it is not installed."""
    for package in (synapse_agent_sdk, synapse_local_agent):
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                yield importlib.import_module(info.name)
            except ModuleNotFoundError as error:
                if error.name != "ray":
                    raise


def examples() -> dict[str, list[doctest.DocTest]]:
    """Return the docstrings with examples, by module."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {module.__name__: [test for test in finder.find(module) if test.examples] for module in modules()}
    return {name: tests for name, tests in found.items() if tests}


@pytest.mark.parametrize("tests", [pytest.param(tests, id=name) for name, tests in examples().items()])
def test_examples_do_what_they_show(tests: list[doctest.DocTest], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example runs in an interactive session with an agent that has cached text_stats, and prints its output.

    In docstrings of async classes `client` is an AsyncAgentClient, and top-level `await` is allowed.
    """
    monkeypatch.chdir(REPOSITORY)
    report: list[str] = []
    for test in tests:
        with contextlib.ExitStack() as stack:
            runner = stack.enter_context(asyncio.Runner())
            names = {
                **test.globs,
                "AgentClient": AgentClient,
                "AsyncAgentClient": AsyncAgentClient,
                "LocalAgent": LocalAgent,
                "asyncio": asyncio,
                "httpx": httpx,
                "os": os,
            }
            if any(re.search(r"\b(client|async_client|url|token)\b", part.source) for part in test.examples):
                names |= agent_names(stack, runner, is_async=".Async" in test.name)
            run = running(f"<{test.name}>", names, runner)
            runnable = with_sources(test, "run({!r})\n", {"run": run})
            doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(runnable, out=report.append, clear_globs=False)
    if report:
        pytest.fail("".join(report), pytrace=False)


def agent_names(stack: contextlib.ExitStack, runner: asyncio.Runner, *, is_async: bool) -> dict[str, Any]:
    """Return the names for examples that need an agent that has cached text_stats, and clients for it."""
    agent = stack.enter_context(ThreadedAgent(REPOSITORY / "examples" / "plugins", debug_roots=[REPOSITORY]))
    client = stack.enter_context(AgentClient(agent.url, agent.token))
    client.create_plugin_release("text_stats", "1.0.0")
    async_client = runner.run(made(agent))  # in the event loop that it is used in
    stack.callback(lambda: runner.run(async_client.aclose()))
    names = {"client": async_client if is_async else client, "async_client": async_client}
    return {**names, "url": agent.url, "token": agent.token}


async def made(agent: ThreadedAgent) -> AsyncAgentClient:
    """Create an async client."""
    return AsyncAgentClient(agent.url, agent.token)


def running(name: str, names: dict[str, Any], runner: asyncio.Runner) -> Callable[[str], None]:
    """Return a function that runs a statement interactively, with top-level `await`."""

    def run(source: str) -> None:
        code = compile(source, name, "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, names)  # noqa: S307 - our own docstrings
        if inspect.iscoroutine(result):
            runner.run(result)

    return run


def with_sources(test: doctest.DocTest, form: str, names: dict[str, Any]) -> doctest.DocTest:
    """Return the same examples with each source inserted into a template."""
    changed = [
        doctest.Example(form.format(part.source), part.want, part.exc_msg, part.lineno, part.indent, part.options)
        for part in test.examples
    ]
    return doctest.DocTest(changed, names, test.name, test.filename, test.lineno, test.docstring)


def public(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods or properties of the public classes, and the public functions."""
    for name in synapse_agent_sdk.__all__:
        exported = getattr(synapse_agent_sdk, name)
        for attribute in dir(exported) if isinstance(exported, type) else ():
            member = inspect.getattr_static(exported, attribute)
            member = getattr(member, "__func__", member)
            if not attribute.startswith("_") and isinstance(member, kind):
                yield f"{name}.{attribute}", member
        if isinstance(exported, kind):
            yield name, exported


def documented(thing: object) -> str:
    """Return a docstring, including that of the sync method or class it refers to."""
    doc = inspect.getdoc(thing) or ""
    refers = re.search(r"those of `AgentClient\.(\w+)`|Async version of `AgentClient`", doc)
    if refers is None:
        return doc
    return f"{doc}\n{documented(getattr(AgentClient, refers[1]) if refers[1] else AgentClient)}"


@pytest.mark.heavy
def test_what_is_public_is_documented() -> None:
    """Public names document their arguments, results and errors, and have an example."""
    lacking = []
    for name, function in public(FunctionType):
        signature = inspect.signature(function)
        takes = [parameter for parameter in signature.parameters if parameter not in {"self", "cls"}]
        gives = signature.return_annotation not in {"None", None}
        needed = ["^Example:$", *(["^Returns:$"] if gives else []), *(["^Args:$"] if takes else [])]
        if takes or gives:  # functions such as close() raise nothing
            needed.append("^Raises:$")
        needed += [rf"^ +{parameter}: \S" for parameter in takes]
        doc = documented(function)
        lacking += [f"{name}: {part}" for part in needed if not re.search(part, doc, re.MULTILINE)]
    for name, cls in public(type):
        lacking += [f"{name}: {part}" for part in ("Example:\n", "Args:\n") if part not in documented(cls)]
    for name, member in public(property):
        lacking += [] if documented(member).rstrip().endswith((".", "False", "True", "'")) else [name]
    for name in exceptions.__all__:  # each error has its own docstring
        first = (vars(getattr(exceptions, name)).get("__doc__") or "").partition("\n")[0]
        lacking += [] if first.endswith(".") else [name]
    assert lacking == []
