"""The fixtures, as pytest finds them by the entry point of this distribution.

pytest imports this module in every project, whether it calls agents or not: the SDK, the local agent and all that they
bring are imported by the fixtures, and not by the module.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse_agent_sdk import AgentClient, AsyncAgentClient
    from synapse_agent_sdk.testing.agent import ProxiedAgent
    from synapse_agent_sdk.testing.calls import AgentCalls
    from synapse_agent_sdk.testing.proxy import AgentFaults

MARKER = INI = "agent_registry"
ALONE: dict[str, Any] = {"user_token": "", "tenant": "", "trust_env": False}
"""What keeps a client apart from the environment of whoever runs the tests."""
LOOPBACK = "127.0.0.1"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini option."""
    parser.addini(INI, "Folder of plugins for the fixture local_agent, relative to the rootdir.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(folder): have the fixture local_agent serve the plugins of a folder, relative to the rootdir.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the session's fixtures the folder of a test's marker.

    A parameter is what has pytest make them anew, with all that others made of them.
    """
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None or "_marked_registry" not in metafunc.fixturenames:
        return
    if len(marker.args) != 1 or marker.kwargs:
        pytest.fail(f"The marker {MARKER} takes one folder, such as @pytest.mark.{MARKER}('plugins')", pytrace=False)
    folder = str(marker.args[0])
    shown = getattr(pytest, "HIDDEN_PARAM", folder)  # pytest 8.4: the names of tests stay what they are
    metafunc.parametrize("_marked_registry", [folder], indirect=True, scope="session", ids=[shown])


@pytest.fixture(scope="session")
def _marked_registry(request: pytest.FixtureRequest) -> str | None:
    """The folder of the test's marker, if it has one."""
    folder: str | None = getattr(request, "param", None)
    return folder


@pytest.fixture(scope="session")
def agent_registry(pytestconfig: pytest.Config, _marked_registry: str | None) -> Path:
    """The folder of plugins that `local_agent` serves: that of the marker, or of the ini option `agent_registry`.

    Both are relative to the rootdir. Override it in the conftest.py at the top for a folder that is made by the tests:

        @pytest.fixture(scope="session")
        def agent_registry(tmp_path_factory):
            ...
    """
    folder = _marked_registry or pytestconfig.getini(INI)
    if not folder:
        pytest.fail(
            f"local_agent has no plugins to serve: set {INI} in the ini file to their folder, "
            f"mark the test with @pytest.mark.{MARKER}('plugins'), or override the fixture agent_registry",
            pytrace=False,
        )
    return pytestconfig.rootpath / folder


@pytest.fixture(scope="session")
def _local_agents(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, ProxiedAgent]]:
    """The agents of the session, by their registries; each is started when it is first asked for."""
    try:
        from synapse_agent_sdk.testing.agent import ProxiedAgent
    except ImportError as error:
        needed = f"The local agent needs further packages: pip install 'synapse-agent-sdk[agent]' ({error})"
        pytest.fail(needed, pytrace=False)

    roots = [pytestconfig.rootpath, tmp_path_factory.getbasetemp()]
    with contextlib.ExitStack() as stack:

        class Agents(dict[Path, ProxiedAgent]):
            def __missing__(self, folder: Path) -> ProxiedAgent:
                agent = stack.enter_context(ProxiedAgent(folder, debug_roots=roots))
                agent.calls.is_recording = False
                self[folder] = agent
                return agent

        yield Agents()


@pytest.fixture(scope="session")
def local_agent(
    pytestconfig: pytest.Config,
    agent_registry: Path,
    _marked_registry: str | None,
    _local_agents: dict[Path, ProxiedAgent],
) -> ProxiedAgent:
    """A real local agent on a free port, for all tests of the session: give its `url` and `token` to your code.

    It serves the plugins of `agent_registry`, runs actions in processes of their own, and loads debug runs from the
    rootdir and from pytest's temporary folders. With pytest-xdist each worker has its own.

    It is shared, and by itself cleans up nothing: `agent_client`, `agent_environment` and the other fixtures for a
    single test do.
    """
    from synapse_local_agent import RegistryError

    folder = _folder(pytestconfig, _marked_registry or agent_registry)
    try:
        return _local_agents[folder]
    except ImportError as error:  # the agent's process says what is missing
        pytest.fail(str(error), pytrace=False)
    except RegistryError as error:
        pytest.fail(f"local_agent cannot serve the plugins of {folder}: {error}", pytrace=False)


@pytest.fixture
def _agent_as_found(
    pytestconfig: pytest.Config, local_agent: ProxiedAgent, agent_registry: Path, _marked_registry: str | None
) -> Iterator[None]:
    """Delete the releases that the test created, and keep those that were there before."""
    from synapse_agent_sdk import AgentClient
    from synapse_agent_sdk.exceptions import NotFoundError

    folder = _folder(pytestconfig, _marked_registry or agent_registry)
    if folder != local_agent.registry:
        # pytest does not make a session's fixture anew where one that it depends on is overridden further down.
        pytest.fail(
            f"agent_registry is {folder} here, but the session's local_agent serves {local_agent.registry}: "
            f"override agent_registry in the conftest.py at the top only, and for single modules set "
            f"pytestmark = pytest.mark.{MARKER}('...')",
            pytrace=False,
        )
    with AgentClient(local_agent.direct_url, local_agent.token, **ALONE) as client:
        before = {release["id"] for release in client.iter_plugin_releases()}
        yield
        for release in client.list_plugin_releases(list_all=True)[0]:
            if release["id"] not in before:
                with contextlib.suppress(NotFoundError):
                    client.delete_plugin_release(release)


@pytest.fixture
def agent_client(local_agent: ProxiedAgent, _agent_as_found: None) -> Iterator[AgentClient]:
    """An `AgentClient` of `local_agent`, which is closed after the test.

    The test leaves the agent as it found it: releases that it created, through this client or any other, are deleted.
    Those that were there before, such as those of a fixture for the session, stay.
    """
    from synapse_agent_sdk import AgentClient

    with AgentClient(local_agent.url, local_agent.token, **ALONE) as client:
        yield client


@pytest.fixture
def async_agent_client(local_agent: ProxiedAgent, _agent_as_found: None) -> AsyncAgentClient:
    """An `AsyncAgentClient` of `local_agent`, for any async plugin of pytest, or `asyncio.run` within the test.

    It keeps no idle connection, so that it may be left open, and used in one event loop after the other. It leaves the
    agent as `agent_client` does.
    """
    import httpx

    from synapse_agent_sdk import AsyncAgentClient

    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    return AsyncAgentClient(local_agent.url, local_agent.token, limits=limits, **ALONE)


@pytest.fixture
def agent_environment(local_agent: ProxiedAgent, _agent_as_found: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set `SYNAPSE_AGENT_URL` and `SYNAPSE_AGENT_TOKEN` to those of `local_agent`, for code that makes its own client.

    `SYNAPSE_USER_TOKEN` and `SYNAPSE_TENANT` are taken away for the test, and no proxy is asked for the agent, which is
    left as `agent_client` leaves it.
    """
    monkeypatch.setenv("SYNAPSE_AGENT_URL", local_agent.url)
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", local_agent.token)
    for name in ("SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, LOOPBACK, prepend=",")


@pytest.fixture
def agent_faults(local_agent: ProxiedAgent, _agent_as_found: None) -> Iterator[AgentFaults]:
    """Faults that the next calls to `local_agent.url` meet, whoever makes them.

        agent_faults.next(status(503), times=2)
        agent_faults.next(cut_body(), operation="run_plugin_release")
        agent_faults.always(no_answer())
        with agent_faults.down(): ...

    The faults are in `synapse_agent_sdk.testing.faults`. Calls that meet none are answered by the agent. A fault that
    no call has met is an error at the end of the test, unless `agent_faults.clear()` dropped it. No fault outlives its
    test.
    """
    faults = local_agent.faults
    faults.clear()
    yield faults
    unmet = faults.unmet
    faults.clear()
    if unmet:
        pytest.fail(
            f"Faults that no call has met: {', '.join(unmet)}. The code made fewer calls than the test expects, or"
            " others; the fixture agent_calls shows them. agent_faults.clear() drops faults that need not be met.",
            pytrace=False,
        )


@pytest.fixture
def agent_calls(local_agent: ProxiedAgent, _agent_as_found: None) -> Iterator[AgentCalls]:
    """The calls that arrive at `local_agent.url` while the test runs, whoever makes them, in that order.

        assert agent_calls.operations == ["create_plugin_release", "run_plugin_release"]
        assert agent_calls[1].json["params"] == {"top": 1}
        assert len(agent_calls.of("run_plugin_release")) == 1

    Each has `operation`, `method`, `path`, `query`, `lookup`, `headers`, `body` and `json`. Retries are calls of their
    own, and calls that met a fault are there too. Its repr shows no secret.
    """
    calls = local_agent.calls
    calls.clear()
    calls.is_recording = True
    yield calls
    calls.is_recording = False
    calls.clear()


def _folder(config: pytest.Config, folder: str | Path) -> Path:
    """A folder of plugins, which is there."""
    path = config.rootpath / folder
    if not path.is_dir():
        pytest.fail(f"{MARKER}: there is no folder {path} (folders are relative to the rootdir)", pytrace=False)
    return path
