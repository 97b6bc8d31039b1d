"""The fixtures in user projects, each run by a separate pytest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]
"""Runs the tests of a user project with arguments; test modules are passed by name."""

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
INI = """
[pytest]
agent_registry = plugins
filterwarnings = error
addopts = -p no:cacheprovider --strict-markers --strict-config
"""
IMPORTS = """
import asyncio, gc, os, threading, time
import pytest
from synapse_agent_sdk import exceptions
from synapse_agent_sdk import AgentClient
from synapse_agent_sdk.testing.faults import *

def alone(agent, **options):
    return AgentClient(agent.url, agent.token, user_token="", tenant="", trust_env=False, **options)

def codes(client):
    return [release["plugin"] for release in client.iter_plugin_releases()]
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a user project: plugins in `plugins`, one of them in `others`, and warnings as errors."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other installed plugins take seconds to load
    monkeypatch.setenv("PYTEST_PLUGINS", "synapse_agent_sdk.testing.plugin")
    shutil.copytree(PLUGINS, pytester.path / "plugins")
    shutil.copytree(PLUGINS / "csv_summary", pytester.path / "others" / "csv_summary")
    pytester.makefile(".ini", pytest=INI)

    def run(*arguments: str, **modules: str) -> pytest.RunResult:
        for name, tests in modules.items():
            pytester.path.joinpath(f"{name}.py").write_text(IMPORTS + tests, encoding="utf-8")
        return pytester.runpytest_subprocess(*arguments)

    return run


def test_unused_it_costs_next_to_nothing() -> None:
    """The module that pytest imports in every project imports no client and no agent."""
    plugin = "synapse_agent_sdk.testing.plugin"
    code = f"import sys, pytest; before = set(sys.modules); import {plugin}; print(*(set(sys.modules) - before))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    others = {"synapse_agent_sdk", "synapse_agent_sdk._version", "synapse_agent_sdk.testing"}
    assert set(ended.stdout.split()) == {plugin, *others}


STATE = """
@pytest.fixture(scope="session")
def cached(local_agent):
    with alone(local_agent) as client:
        try:
            return client.create_plugin_release("text_stats", "1.0.0")["plugin"]
        except exceptions.NotFoundError:
            return None

def test_creates(agent_client, cached, agent_registry, local_agent):
    assert (agent_registry.name, local_agent.registry) == ("plugins", agent_registry)
    agent_client.create_plugin_release("csv_summary", "1.0.0")
    assert codes(agent_client) == ["csv_summary", "text_stats"]

@pytest.mark.agent_registry("others")
class TestOthers:
    def test_marked(self, cached, agent_registry, local_agent, agent_client):
        assert (cached, agent_registry.name, local_agent.registry) == (None, "others", agent_registry)
        agent_client.create_plugin_release("csv_summary", "1.0.0")

    @pytest.mark.agent_registry("plugins")
    def test_closest(self, cached):
        assert cached == "text_stats"

def test_environment(agent_client, cached, agent_environment, agent_calls):
    assert codes(agent_client) == ["text_stats"]
    assert not {"SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT"} & os.environ.keys()
    with AgentClient() as client:
        client.create_plugin_release("csv_summary", "1.0.0")
    assert agent_calls.operations == ["list_plugin_releases", "create_plugin_release"]
    assert agent_calls[1].headers["authorization"] == os.environ["SYNAPSE_AGENT_TOKEN"]
    agent_client.delete_plugin_release("csv_summary@1.0.0")
    agent_client.create_plugin_release("csv_summary", "1.0.0")

def test_after(agent_client, local_agent):
    assert (codes(agent_client), len(local_agent.calls)) == (["text_stats"], 0)
    assert (os.environ["SYNAPSE_AGENT_URL"], os.environ["SYNAPSE_TENANT"]) == ("http://agent.example", "mine")
    assert "NO_PROXY" not in os.environ

def test_debug_run_from_a_temporary_folder(agent_client, tmp_path):
    (tmp_path / "plugin.py").write_text("def run(params): return 'debug'")
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}}
    assert agent_client.run_debug_plugin_release("run", plugin_path=tmp_path, config=config) == "debug"
"""
FAULTS = """
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

def test_clears(agent_faults, agent_calls):
    agent_faults.next(status(503))
    agent_faults.clear()
    assert list(agent_calls) == []

left = []

def test_leaves_a_call_waiting(local_agent, agent_faults, agent_calls):
    agent_faults.next(no_answer())
    left.append(alone(local_agent, retry=None))

    def call():
        with pytest.raises(exceptions.ClientError):
            left[0].health_check()

    left.append(threading.Thread(target=call))
    left[1].start()
    while not agent_calls:
        time.sleep(0.01)

def test_the_next_one_goes_on(agent_client):
    assert agent_client.health_check()["status"] == "ok"
"""
ASYNC = """
async def ask(client):
    return (await client.health_check())["status"]

def test_two_loops(async_agent_client, agent_faults, agent_calls):
    agent_faults.next(disconnect(), status(503))
    assert [asyncio.run(ask(async_agent_client)) for _ in range(2)] == ["ok", "ok"]
    assert not {"synapse-user", "synapse-tenant"} & agent_calls[0].headers.keys()

    async def many():
        async with async_agent_client:
            return await asyncio.gather(*[ask(async_agent_client) for _ in range(20)])

    gc.collect()
    assert asyncio.run(many()) == ["ok"] * 20
"""
BELOW = """
import pytest

@pytest.fixture(scope="session")
def agent_registry():
    return "others"

def test_below(agent_client):
    pass
"""


DEVELOPERS = {
    "HTTP_PROXY": "http://127.0.0.1:9",  # unused port
    "http_proxy": "http://127.0.0.1:9",
    "SYNAPSE_AGENT_URL": "http://agent.example",
    "SYNAPSE_TENANT": "mine",
    "SYNAPSE_USER_TOKEN": "not a token: it has spaces",
}


def test_what_the_fixtures_promise(run: Run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test gets a clean agent, without faults, calls, tokens or proxies from elsewhere; the session ends."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in DEVELOPERS.items():
        monkeypatch.setenv(name, value)
    (pytester.mkpydir("below") / "test_below.py").write_text(BELOW, encoding="utf-8")
    files = ["test_state.py", "test_faults.py", "test_async.py", "below"]  # last, or it would affect the others
    modules = {"test_state": STATE, "test_faults": FAULTS, "test_async": ASYNC}
    result = run("-v", "-rEf", *files, **modules)
    result.assert_outcomes(passed=12, failed=1, errors=3)
    stdout = result.stdout.str()
    unmet = "next(garbage(), times=3, operation='get_plugin_release'), always(reset(), "
    assert f"Faults that no call has met: {unmet}" in stdout
    result.stdout.fnmatch_lines(["agent_registry is */others here, but the session's local_agent serves */plugins*"])
    assert "plugin.py" not in stdout  # a message without our traceback
    for name in ("test_creates", "TestOthers::test_marked", "TestOthers::test_closest", "test_after"):
        assert f"test_state.py::{name} PASSED" in stdout  # the marker does not change the names


def test_what_cannot_be_used_is_a_clear_error(run: Run, pytester: pytest.Pytester) -> None:
    """A missing or invalid plugin folder or marker is an error that says what to do."""
    pytester.makefile(".ini", pytest="[pytest]\n")
    (pytester.path / "broken" / "plugin").mkdir(parents=True)
    (pytester.path / "broken" / "plugin" / "config.yaml").write_text("code: [", encoding="utf-8")
    marked = [f"@pytest.mark.agent_registry({given})" for given in ("'gone'", "'broken'", "", "'a', 'b'")]
    tests = [f"{marker}\ndef test_it(agent_client): pass\n" for marker in ("", *marked)]
    modules = {f"test_{number}": text for number, text in enumerate(tests)}
    result = run("--continue-on-collection-errors", **modules)
    result.assert_outcomes(errors=5)
    for says in (
        ["local_agent has no plugin folder: set agent_registry in the ini file, *"],
        ["agent_registry: no folder */gone (paths are relative to *"],
        ["local_agent cannot serve the plugins in */broken: *"],
        ["The agent_registry marker takes one folder, such as *"] * 2,
    ):
        result.stdout.fnmatch_lines(says)
    assert "Traceback" not in result.stdout.str()


def test_without_the_extra_it_says_what_to_install(run: Run, pytester: pytest.Pytester) -> None:
    """If the local agent's packages are missing, the fixture names the extra, and other tests still run."""
    pytester.makeconftest("import sys\nsys.path.insert(0, 'broken')")
    pytester.mkdir("broken").joinpath("uvicorn.py").write_text("raise ImportError('No module named uvicorn')")
    result = run(test_it="def test_other(): pass\ndef test_it(agent_client): pass\n")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["The local agent needs further packages: pip install 'synapse-agent-sdk?agent?' (*"])


MADE = """
import pytest, shutil

@pytest.fixture(scope="session")
def agent_registry(tmp_path_factory, pytestconfig):
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(pytestconfig.rootpath / "plugins" / "text_stats", folder / "text_stats")
    return folder
"""
WORKERS = """
@pytest.mark.parametrize("number", range(6))
def test_number(number, local_agent, agent_client, agent_faults, agent_calls, worker_id, pytestconfig):
    assert "made" in str(local_agent.registry)
    agent_faults.next(status(503), times=2)
    agent_client.create_plugin_release("text_stats", "1.0.0")
    assert codes(agent_client) == ["text_stats"]
    assert agent_calls.operations == ["create_plugin_release"] * 3 + ["list_plugin_releases"]
    with open(pytestconfig.rootpath / worker_id, "a") as file:
        print(local_agent.url, file=file)

@pytest.mark.agent_registry("others")
def test_marked(agent_client):
    agent_client.create_plugin_release("csv_summary", "1.0.0")
"""


@pytest.mark.heavy
def test_workers_and_a_conftest_that_makes_the_registry(run: Run, pytester: pytest.Pytester) -> None:
    """Each pytest-xdist worker starts its own agent; agent_registry can be overridden at the top level."""
    pytester.makeconftest(MADE)
    run("-p", "xdist.plugin", "-n2", test_it=WORKERS).assert_outcomes(passed=7)
    urls = [set((pytester.path / worker).read_text(encoding="utf-8").split()) for worker in ("gw0", "gw1")]
    assert [len(each) for each in urls] == [1, 1]
    assert urls[0] != urls[1]
