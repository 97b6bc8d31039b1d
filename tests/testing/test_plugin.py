"""The fixtures in projects of their users, each run by a pytest of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_imports import imported_by

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
INI = """
[pytest]
agent_registry = plugins
filterwarnings = error
addopts = -p no:cacheprovider --strict-markers --strict-config
"""
IMPORTS = """
import asyncio
import gc
import os
import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient
from synapse_sdk.testing.faults import *
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's project: plugins in `plugins`, one of them in `others`, and every warning an error."""
    shutil.copytree(PLUGINS, pytester.path / "plugins")
    shutil.copytree(PLUGINS / "csv_summary", pytester.path / "others" / "csv_summary")
    pytester.makefile(".ini", pytest=INI)
    return pytester


@pytest.fixture
def run(project: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs a module of tests in the user's project."""

    def run(tests: str, *arguments: str) -> pytest.RunResult:
        project.path.joinpath("test_it.py").write_text(IMPORTS + tests, encoding="utf-8")
        return project.runpytest_subprocess(*arguments)

    return run


def test_unused_it_costs_next_to_nothing() -> None:
    """The module that pytest imports in every project brings neither httpx, nor a client, nor the local agent."""
    brought = imported_by("import synapse_sdk.testing.plugin") - imported_by("import pytest")
    assert brought == {"synapse_sdk"}
    program = "import sys, synapse_sdk.testing.plugin; print([m for m in sys.modules if m.startswith('synapse_sdk.')])"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    expected = ["synapse_sdk._conflict", "synapse_sdk._version", "synapse_sdk.testing", "synapse_sdk.testing.plugin"]
    assert modules == f"{expected}\n"


def test_the_client_never_imports_it() -> None:
    """Importing the client, or making one, imports nothing of what is for tests."""
    program = (
        "import sys; from synapse_sdk.clients.agent import AgentClient; AgentClient('http://127.0.0.1:1').close();"
        "print([name for name in sys.modules if name.startswith('synapse_sdk.testing')])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"  # noqa: S603 - ours


def test_each_test_finds_the_agent_as_the_one_before_found_it(run: Callable[..., pytest.RunResult]) -> None:
    """What a test caches is gone for the next, whoever cached it; what a fixture of the session cached stays."""
    result = run(
        """
@pytest.fixture(scope="session")
def cached(local_agent):
    with AgentClient(local_agent.url, local_agent.token) as client:
        return client.create_plugin_release("text_stats", "1.0.0")

def codes(client):
    return [release["plugin"] for release in client.iter_plugin_releases()]

def test_creates(agent_client, cached):
    agent_client.create_plugin_release("csv_summary", "1.0.0")
    assert codes(agent_client) == ["csv_summary", "text_stats"]

def test_has_what_the_session_has(agent_client):
    assert codes(agent_client) == ["text_stats"]

def test_creates_by_a_client_of_its_own(agent_environment):
    with AgentClient() as client:
        client.create_plugin_release("csv_summary", "1.0.0")

def test_still_has_what_the_session_has(agent_client):
    assert codes(agent_client) == ["text_stats"]

def test_deletes_itself(agent_client):
    release = agent_client.create_plugin_release("csv_summary", "1.0.0")
    agent_client.delete_plugin_release(release)

def test_runs(agent_client, cached, tmp_path):
    file = tmp_path / "text"
    file.write_text("a b", encoding="utf-8")
    assert agent_client.run_plugin_release(cached, "analyze", {"path": str(file)})["words"] == 2
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "plugin.py").write_text("def run(params): return 'debug'")
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}}
    assert agent_client.run_debug_plugin_release("run", plugin_path=sources, config=config) == "debug"
"""
    )
    result.assert_outcomes(passed=6)


def test_the_shell_of_a_developer_has_no_say(
    run: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other agents, tokens and proxies in the environment reach no test, and it is as it was after each."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYNAPSE_AGENT_URL", "http://agent.example")
    monkeypatch.setenv("SYNAPSE_TENANT", "mine")
    monkeypatch.setenv("SYNAPSE_USER_TOKEN", "not a token: it has spaces")
    result = run(
        """
def test_clients(agent_client, async_agent_client, agent_calls):
    agent_client.create_plugin_release("csv_summary", "1.0.0")
    asyncio.run(async_agent_client.health_check())
    assert not {"synapse-user", "synapse-tenant"} & (agent_calls[0].headers.keys() | agent_calls[1].headers.keys())

def test_environment(agent_environment, agent_calls):
    assert not {"SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT"} & os.environ.keys()
    with AgentClient() as client:
        assert client.list_plugin_releases()["count"] == 0
    assert agent_calls.operations == ["list_plugin_releases"]

def test_after():
    assert (os.environ["SYNAPSE_AGENT_URL"], os.environ["SYNAPSE_TENANT"]) == ("http://agent.example", "mine")
    assert "NO_PROXY" not in os.environ
"""
    )
    result.assert_outcomes(passed=3)


def test_a_fault_never_reaches_the_next_test(run: Callable[..., pytest.RunResult]) -> None:
    """A fault that no call has met is an error of its test, by name, and the next test meets none; clear() drops it."""
    result = run(
        """
def test_leaves_two(agent_client, agent_faults):
    agent_faults.next(status(503), times=2)
    agent_faults.next(garbage(), operation="get_plugin_release", times=3)
    agent_faults.always(reset(), operation="run_plugin_release")
    assert agent_client.health_check()["status"] == "ok"

def test_fails_with_faults_left(agent_client, agent_faults):
    agent_faults.next(status(503))
    assert False

def test_meets_none(agent_client, agent_calls):
    assert agent_client.health_check()["status"] == "ok"
    assert agent_calls.operations == ["health_check"]

def test_clears(agent_faults):
    agent_faults.next(status(503))
    agent_faults.clear()
""",
        "-rE",
    )
    result.assert_outcomes(passed=3, failed=1, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaves_two*",
            "Faults that no call has met: next(garbage(), times=3, operation='get_plugin_release'), always(reset(), *",
        ]
    )
    assert "plugin.py" not in result.stdout.str()  # a message, and no traceback of ours


def test_the_marker_chooses_the_registry(run: Callable[..., pytest.RunResult]) -> None:
    """The marker has its tests use another agent, keeps their names, and leaves the fixtures of others right."""
    result = run(
        """
@pytest.fixture(scope="session")
def codes(local_agent):
    with AgentClient(local_agent.url, local_agent.token) as client:
        try:
            return {client.create_plugin_release("text_stats", "1.0.0")["plugin"]}
        except exceptions.NotFoundError:
            return set()

def test_before(codes, agent_registry, local_agent):
    assert (codes, agent_registry.name, local_agent.registry) == ({"text_stats"}, "plugins", agent_registry)

@pytest.mark.agent_registry("others")
class TestOthers:
    def test_marked(self, codes, agent_registry, local_agent, agent_client):
        assert (codes, agent_registry.name, local_agent.registry) == (set(), "others", agent_registry)
        agent_client.create_plugin_release("csv_summary", "1.0.0")

    @pytest.mark.agent_registry("plugins")
    def test_closest(self, codes):
        assert codes == {"text_stats"}

    def test_without_the_agent(self):
        pass

def test_after(codes, agent_client):
    assert codes == {"text_stats"}
""",
        "-v",
    )
    result.assert_outcomes(passed=5)
    assert {line.split()[0] for line in result.outlines if "PASSED" in line} == {
        "test_it.py::test_before",
        "test_it.py::TestOthers::test_marked",
        "test_it.py::TestOthers::test_closest",
        "test_it.py::TestOthers::test_without_the_agent",
        "test_it.py::test_after",
    }


USE = "def test_it(agent_client): pass"


@pytest.mark.parametrize(
    ("ini", "says"),
    [
        ("", "local_agent has no plugins to serve: set agent_registry in the ini file to their folder, *"),
        ("agent_registry = nowhere", "agent_registry: there is no folder */nowhere (folders are relative to *"),
        ("agent_registry = broken", "local_agent cannot serve the plugins of */broken: *"),
    ],
    ids=["none", "missing", "broken"],
)
def test_a_registry_that_cannot_be_used_is_a_clear_error(
    project: pytest.Pytester, run: Callable[..., pytest.RunResult], ini: str, says: str
) -> None:
    """Without a folder of plugins, or with one that is not there or not right, the test says what to do."""
    (project.path / "broken" / "plugin").mkdir(parents=True)
    (project.path / "broken" / "plugin" / "config.yaml").write_text("code: [", encoding="utf-8")
    project.makefile(".ini", pytest=f"[pytest]\n{ini}\n")
    result = run(USE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([says])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        ("agent_registry('gone')", "agent_registry: there is no folder */gone (*"),
        ("agent_registry()", "The marker agent_registry takes one folder, such as *"),
        ("agent_registry('a', 'b')", "The marker agent_registry takes one folder, such as *"),
    ],
)
def test_a_marker_that_cannot_be_used_is_a_clear_error(
    run: Callable[..., pytest.RunResult], marker: str, says: str
) -> None:
    """A marker without a folder, with two, or with one that is not there is an error that says so."""
    result = run(f"@pytest.mark.{marker}\n{USE}")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([says])
    assert "Traceback" not in result.stdout.str()


def test_a_conftest_makes_the_registry(project: pytest.Pytester, run: Callable[..., pytest.RunResult]) -> None:
    """agent_registry may be overridden at the top, where the marker still wins; further down that is an error."""
    project.makeconftest(
        """
        import pytest, shutil

        @pytest.fixture(scope="session")
        def agent_registry(tmp_path_factory, pytestconfig):
            folder = tmp_path_factory.mktemp("made")
            shutil.copytree(pytestconfig.rootpath / "plugins" / "text_stats", folder / "text_stats")
            return folder
        """
    )
    below = project.mkpydir("below")
    (below / "test_below.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='session')\ndef agent_registry(): return 'others'\n"
        "def test_below(agent_client): pass\n",
        encoding="utf-8",
    )
    result = run(
        """
def test_made(agent_client, local_agent):
    assert "made" in str(local_agent.registry)
    agent_client.create_plugin_release("text_stats", "1.0.0")
    with pytest.raises(exceptions.NotFoundError):
        agent_client.create_plugin_release("csv_summary", "1.0.0")

@pytest.mark.agent_registry("others")
def test_marked(agent_client):
    agent_client.create_plugin_release("csv_summary", "1.0.0")
""",
        "test_it.py",
    )
    result.assert_outcomes(passed=2)
    result = project.runpytest_subprocess("-k", "made or below", "test_it.py", "below")
    result.assert_outcomes(passed=1, errors=1, deselected=1)
    result.stdout.fnmatch_lines(["agent_registry is */others here, but the session's local_agent serves */made*"])


def test_async_tests_need_no_plugin_of_pytest(run: Callable[..., pytest.RunResult]) -> None:
    """The async client works in one event loop after the other, is left open without a warning, and under anyio too."""
    result = run(
        """
async def ask(client):
    return (await client.health_check())["status"]

def test_two_loops(async_agent_client, agent_faults):
    agent_faults.next(disconnect(), status(503))
    assert asyncio.run(ask(async_agent_client)) == "ok"
    assert asyncio.run(ask(async_agent_client)) == "ok"
    gc.collect()

def test_many_at_once(async_agent_client):
    async def many():
        return await asyncio.gather(*[ask(async_agent_client) for _ in range(20)])
    assert asyncio.run(many()) == ["ok"] * 20
    gc.collect()

def test_closed(async_agent_client):
    async def use():
        async with async_agent_client as client:
            return await ask(client)
    assert asyncio.run(use()) == "ok"

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_anyio(async_agent_client, anyio_backend):
    assert await ask(async_agent_client) == "ok"
""",
        "-p",
        "anyio.pytest_plugin",
    )
    result.assert_outcomes(passed=4)


def test_each_worker_of_xdist_has_an_agent_of_its_own(
    project: pytest.Pytester, run: Callable[..., pytest.RunResult]
) -> None:
    """With pytest-xdist every worker starts one agent for all of its tests, and no fault crosses over."""
    result = run(
        """
@pytest.mark.parametrize("number", range(6))
def test_number(number, local_agent, agent_client, agent_faults, agent_calls, worker_id, pytestconfig):
    agent_faults.next(status(503), times=2)
    agent_client.create_plugin_release("text_stats", "1.0.0")
    assert agent_client.list_plugin_releases()["count"] == 1
    assert agent_calls.operations == ["create_plugin_release"] * 3 + ["list_plugin_releases"]
    with open(pytestconfig.rootpath / worker_id, "a") as file:
        print(local_agent.url, file=file)
""",
        "-p",
        "xdist.plugin",
        "-n2",
    )
    result.assert_outcomes(passed=6)
    urls = [set((project.path / worker).read_text(encoding="utf-8").split()) for worker in ("gw0", "gw1")]
    assert [len(each) for each in urls] == [1, 1]
    assert urls[0] != urls[1]


def test_what_a_test_leaves_open_ends_with_the_session(run: Callable[..., pytest.RunResult]) -> None:
    """A client that is left open, and a caller that still waits for an answer, do not keep the session from ending."""
    result = run(
        """
import threading

left = []

def test_leaves_a_client(local_agent):
    left.append(AgentClient(local_agent.url, local_agent.token))
    left[0].health_check()

def test_leaves_a_call_waiting(local_agent, agent_faults, agent_calls):
    agent_faults.next(no_answer())
    client = AgentClient(local_agent.url, local_agent.token, retry=None)
    left.append(client)

    def call():
        with pytest.raises(exceptions.ClientError):
            client.health_check()

    left.append(threading.Thread(target=call))
    left[-1].start()
    while not agent_calls:
        pass

def test_the_next_one_goes_on(agent_client):
    assert agent_client.health_check()["status"] == "ok"
""",
        "--durations=0",
    )
    result.assert_outcomes(passed=3)
    assert result.duration < 20


def test_calls_are_of_the_test_alone(run: Callable[..., pytest.RunResult]) -> None:
    """The record starts empty, has the calls of the test alone, and none of the cleaning up."""
    result = run(
        """
def test_first(agent_client, agent_calls):
    assert len(agent_calls) == 0
    agent_client.create_plugin_release("text_stats", "1.0.0")
    assert agent_calls.operations == ["create_plugin_release"]

def test_unrecorded(agent_client, local_agent):
    agent_client.health_check()
    assert len(local_agent.calls) == 0

def test_second(agent_calls, agent_environment):
    assert list(agent_calls) == []
    with AgentClient() as client:
        client.health_check()
    assert agent_calls[0].headers["authorization"] == os.environ["SYNAPSE_AGENT_TOKEN"]
    assert "synapse-tenant" not in agent_calls[0].headers

def test_shows_no_secret(agent_client, agent_calls):
    agent_client.health_check()
    assert agent_calls[0].headers == {}
"""
    )
    result.assert_outcomes(passed=3, failed=1)
    assert "'authorization': '***'" in result.stdout.str()


def test_without_the_extra_it_says_what_to_install(
    project: pytest.Pytester, run: Callable[..., pytest.RunResult]
) -> None:
    """Where the local agent's packages are missing, the fixture names the extra, and other tests go on."""
    project.makeconftest("import sys\nsys.path.insert(0, 'broken')")
    project.mkdir("broken").joinpath("uvicorn.py").write_text("raise ImportError('No module named uvicorn')")
    result = run("def test_other(): pass\n" + USE)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["The local agent needs further packages: pip install 'synapse-agent-sdk?agent?' (*"])


def test_pytest_finds_it_and_lists_what_there_is(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the entry point, `pytest --fixtures`, `--markers` and `--help` say what there is, each with its sentence."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.delenv("PYTEST_PLUGINS")
    fixtures = pytester.runpytest_subprocess("--fixtures").stdout.str()
    listed = fixtures.partition("synapse_sdk.testing.plugin")[2].partition("fixtures defined from")[0]
    for name in (
        "local_agent [session scope]",
        "agent_registry [session scope]",
        "agent_client",
        "async_agent_client",
        "agent_environment",
        "agent_faults",
        "agent_calls",
    ):
        assert f"\n{name} -- " in listed
    assert "no docstring available" not in listed
    pytester.runpytest_subprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.agent_registry(folder): have the *"])
    pytester.runpytest_subprocess("--help").stdout.fnmatch_lines(
        ["*agent_registry (string):*", "*Folder of plugins for*"]
    )
