"""The docstrings: each example runs against a real agent, and whatever is public says what it has to."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import os
import pkgutil
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import synapse_local_agent
import synapse_sdk
from synapse_local_agent import LocalAgent
from synapse_sdk import exceptions
from synapse_sdk.clients import agent as clients
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType


def modules() -> Iterator[ModuleType]:
    """Every module of the SDK and of the local agent; where Ray is not installed, those that need it are left out."""
    for package in (synapse_sdk, synapse_local_agent):
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                yield importlib.import_module(info.name)
            except ModuleNotFoundError as error:
                if error.name != "ray":
                    raise


def examples() -> list[doctest.DocTest]:
    """Every docstring that has examples, of the SDK and of the local agent."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found: list[doctest.DocTest] = []
    for module in modules():
        found += [test for test in finder.find(module) if test.examples]
    return found


def by_name(test: object) -> str:
    """A docstring's name in pytest's output, without the package that all have."""
    return getattr(test, "name", str(test)).removeprefix("synapse_sdk.clients.")


@pytest.mark.parametrize("test", examples(), ids=by_name)
def test_example_does_what_it_shows(
    test: doctest.DocTest, agent: LocalAgent, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An example runs as in an interactive session, with an agent that has cached text_stats, and shows what it says.

    In the docstrings of async classes `client` is an AsyncAgentClient, and `await` stands alone.
    """
    monkeypatch.chdir(repository)
    is_async = ".Async" in test.name
    with AgentClient(agent.url, agent.token) as client, asyncio.Runner() as runner:
        client.create_plugin_release("text_stats", "1.0.0")
        # In the loop that its calls are made in.
        async_client = runner.run(_made(AsyncAgentClient, agent.url, agent.token))
        names = {
            **test.globs,
            "AgentClient": AgentClient,
            "AsyncAgentClient": AsyncAgentClient,
            "LocalAgent": LocalAgent,
            "asyncio": asyncio,
            "httpx": httpx,
            "os": os,
            "client": async_client if is_async else client,
            "async_client": async_client,
            "url": agent.url,
            "token": agent.token,
        }

        def run(source: str) -> None:
            code = compile(source, test.name, "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)  # noqa: S307 - our own docstrings
            if inspect.iscoroutine(result):
                runner.run(result)

        report: list[str] = []
        try:
            runnable = _with_sources(test, "run({!r})\n", {"run": run})
            doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(runnable, out=report.append, clear_globs=False)
        finally:
            runner.run(async_client.aclose())
    if report:
        pytest.fail("".join(report), pytrace=False)


async def _made(kind: type[AsyncAgentClient], *args: Any) -> AsyncAgentClient:
    return kind(*args)


def _with_sources(test: doctest.DocTest, form: str, names: dict[str, Any]) -> doctest.DocTest:
    """The same examples, each with its source put into a form."""
    changed = [
        doctest.Example(form.format(part.source), part.want, part.exc_msg, part.lineno, part.indent, part.options)
        for part in test.examples
    ]
    return doctest.DocTest(changed, names, test.name, test.filename, test.lineno, test.docstring)


def members(cls: type) -> list[tuple[str, Any]]:
    """The public methods and properties of a class, wherever in the SDK they are defined."""
    found = []
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        member = getattr(member, "__func__", member)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
            found.append((f"{cls.__name__}.{name}", member))
    return found


PUBLIC: list[tuple[str, Any]] = [(name, getattr(clients, name)) for name in clients.__all__]
CLASSES = [(name, cls) for name, cls in PUBLIC if isinstance(cls, type)]
FUNCTIONS = [member for _, cls in CLASSES for member in members(cls) if inspect.isfunction(member[1])] + [
    (name, function) for name, function in PUBLIC if inspect.isfunction(function)
]
PROPERTIES = [member for _, cls in CLASSES for member in members(cls) if isinstance(member[1], property)]


def sections(thing: object) -> set[str]:
    """The sections that a docstring has; where it refers to the sync method or class, those of that one too."""
    doc = inspect.getdoc(thing) or ""
    found = set(re.findall(r"^(Args|Returns|Raises|Example):$", doc, re.MULTILINE))
    if refers := re.search(r"those of `AgentClient\.(\w+)`|The same as `AgentClient`", doc):
        found |= sections(getattr(AgentClient, refers[1]) if refers[1] else AgentClient)
    return found


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_method_says_what_it_takes_gives_and_raises(name: str, function: Any) -> None:
    """A public method has an example, its arguments, its result, and the errors of what it is asked to do."""
    signature = inspect.signature(function)
    takes = [parameter for parameter in signature.parameters if parameter not in {"self", "cls"}]
    gives = signature.return_annotation not in {"None", None}
    needed = {"Example"} | ({"Args"} if takes else set()) | ({"Returns"} if gives else set())
    if takes or gives:  # what neither takes nor gives anything, such as close(), has nothing to refuse
        needed.add("Raises")
    assert needed - sections(function) == set()


@pytest.mark.parametrize(("name", "function"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_method_describes_each_argument(name: str, function: Any) -> None:
    """Each argument of a public method stands in its docstring, or in that of the sync method that it refers to."""
    doc = inspect.getdoc(function) or ""
    if refers := re.search(r"those of `AgentClient\.(\w+)`", doc):
        doc = inspect.getdoc(getattr(AgentClient, refers[1])) or ""
    takes = [parameter for parameter in inspect.signature(function).parameters if parameter not in {"self", "cls"}]
    assert [parameter for parameter in takes if not re.search(rf"^ +{parameter}: \S", doc, re.MULTILINE)] == []


@pytest.mark.parametrize(("name", "cls"), CLASSES, ids=[name for name, _ in CLASSES])
def test_class_says_what_it_is_made_from(name: str, cls: type) -> None:
    """A public class has an example and its arguments, and the async one those of the sync one."""
    assert {"Example", "Args"} - sections(cls) == set()


@pytest.mark.parametrize(("name", "member"), PROPERTIES, ids=[name for name, _ in PROPERTIES])
def test_property_says_what_it_is(name: str, member: property) -> None:
    """A public property has a docstring of a sentence."""
    assert (inspect.getdoc(member) or "").rstrip().endswith((".", "False", "True", "'"))


@pytest.mark.parametrize("name", exceptions.__all__)
def test_error_says_when_it_comes(name: str) -> None:
    """Every error has a docstring of its own that says when it comes."""
    assert (vars(getattr(exceptions, name)).get("__doc__") or "").partition("\n")[0].endswith(".")
