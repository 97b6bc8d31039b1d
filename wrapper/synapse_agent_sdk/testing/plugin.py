"""The fixtures, which pytest discovers through the entry point of this distribution.

pytest imports this module in every project, so only the fixtures import the SDK and the local agent.
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
"""Options that isolate a client from the environment of the test run."""
LOOPBACK = "127.0.0.1"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the ini option."""
    parser.addini(INI, "Plugin folder for the local_agent fixture, relative to the rootdir.", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(folder): plugin folder for the local_agent fixture, relative to the rootdir.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pass the folder of a test's marker to the session fixtures.

    Parametrization makes pytest recreate them and the fixtures that depend on them.
    """
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None or "_marked_registry" not in metafunc.fixturenames:
        return
    if len(marker.args) != 1 or marker.kwargs:
        pytest.fail(f"The {MARKER} marker takes one folder, such as @pytest.mark.{MARKER}('plugins')", pytrace=False)
    folder = str(marker.args[0])
    shown = getattr(pytest, "HIDDEN_PARAM", folder)  # pytest 8.4: keeps test names unchanged
    metafunc.parametrize("_marked_registry", [folder], indirect=True, scope="session", ids=[shown])


@pytest.fixture(scope="session")
def _marked_registry(request: pytest.FixtureRequest) -> str | None:
    """The folder from the test's marker, or None."""
    folder: str | None = getattr(request, "param", None)
    return folder


@pytest.fixture(scope="session")
def agent_registry(pytestconfig: pytest.Config, _marked_registry: str | None) -> Path:
    """The plugin folder of `local_agent`, from the marker or from the ini option `agent_registry`.

    Both are relative to the rootdir. If your tests create the folder, override this in the top-level conftest.py:

        @pytest.fixture(scope="session")
        def agent_registry(tmp_path_factory):
            ...
    """
    folder = _marked_registry or pytestconfig.getini(INI)
    if not folder:
        pytest.fail(
            f"local_agent has no plugin folder: set {INI} in the ini file, "
            f"mark the test with @pytest.mark.{MARKER}('plugins'), or override the agent_registry fixture",
            pytrace=False,
        )
    return pytestconfig.rootpath / folder


@pytest.fixture(scope="session")
def _local_agents(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, ProxiedAgent]]:
    """The agents of the session by registry; each starts on first use."""
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
    """A real local agent on a free port, shared by the session: pass its `url` and `token` to your code.

    It serves the plugins of `agent_registry`, runs actions in separate processes, and loads debug runs from the rootdir
    and pytest's temporary folders. With pytest-xdist, each worker has its own agent.

    This fixture does not clean up; the test-scoped fixtures, such as `agent_client` and `agent_environment`, do.
    """
    from synapse_local_agent import RegistryError

    folder = _folder(pytestconfig, _marked_registry or agent_registry)
    try:
        return _local_agents[folder]
    except ImportError as error:  # the agent's process reports what is missing
        pytest.fail(str(error), pytrace=False)
    except RegistryError as error:
        pytest.fail(f"local_agent cannot serve the plugins in {folder}: {error}", pytrace=False)


@pytest.fixture
def _agent_as_found(
    pytestconfig: pytest.Config, local_agent: ProxiedAgent, agent_registry: Path, _marked_registry: str | None
) -> Iterator[None]:
    """Delete the releases that the test created, and keep existing ones."""
    from synapse_agent_sdk import AgentClient
    from synapse_agent_sdk.exceptions import NotFoundError

    folder = _folder(pytestconfig, _marked_registry or agent_registry)
    if folder != local_agent.registry:
        # pytest does not recreate a session fixture if a dependency is overridden further down.
        pytest.fail(
            f"agent_registry is {folder} here, but the session's local_agent serves {local_agent.registry}: "
            f"override agent_registry only in the top-level conftest.py; for a single module, set "
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
    """An `AgentClient` for `local_agent`, closed after the test.

    Releases created during the test, by this client or any other, are deleted. Releases that existed before, such as
    those of a session-scoped fixture, stay.
    """
    from synapse_agent_sdk import AgentClient

    with AgentClient(local_agent.url, local_agent.token, **ALONE) as client:
        yield client


@pytest.fixture
def async_agent_client(local_agent: ProxiedAgent, _agent_as_found: None) -> AsyncAgentClient:
    """An `AsyncAgentClient` for `local_agent`, for any async pytest plugin, or for `asyncio.run` in the test.

    It keeps no idle connections, so it can stay open and be used in one event loop after another. It cleans up like
    `agent_client`.
    """
    import httpx

    from synapse_agent_sdk import AsyncAgentClient

    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    return AsyncAgentClient(local_agent.url, local_agent.token, limits=limits, **ALONE)


@pytest.fixture
def agent_environment(local_agent: ProxiedAgent, _agent_as_found: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set `SYNAPSE_AGENT_URL` and `SYNAPSE_AGENT_TOKEN` for `local_agent`, for code that creates its own client.

    It also unsets `SYNAPSE_USER_TOKEN` and `SYNAPSE_TENANT`, bypasses proxies, and cleans up like `agent_client`.
    """
    monkeypatch.setenv("SYNAPSE_AGENT_URL", local_agent.url)
    monkeypatch.setenv("SYNAPSE_AGENT_TOKEN", local_agent.token)
    for name in ("SYNAPSE_USER_TOKEN", "SYNAPSE_TENANT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, LOOPBACK, prepend=",")


@pytest.fixture
def agent_faults(local_agent: ProxiedAgent, _agent_as_found: None) -> Iterator[AgentFaults]:
    """Faults for the next calls to `local_agent.url`, from any caller.

        agent_faults.next(status(503), times=2)
        agent_faults.next(cut_body(), operation="run_plugin_release")
        agent_faults.always(no_answer())
        with agent_faults.down(): ...

    The faults are in `synapse_agent_sdk.testing.faults`. Calls without a fault go through to the agent. A fault that no
    call has met is an error at the end of the test, unless `agent_faults.clear()` removed it. No fault outlives its
    test.
    """
    faults = local_agent.faults
    faults.clear()
    yield faults
    unmet = faults.unmet
    faults.clear()
    if unmet:
        pytest.fail(
            f"Faults that no call has met: {', '.join(unmet)}. The code made fewer calls than expected, or other calls:"
            " check agent_calls. agent_faults.clear() removes optional faults.",
            pytrace=False,
        )


@pytest.fixture
def agent_calls(local_agent: ProxiedAgent, _agent_as_found: None) -> Iterator[AgentCalls]:
    """The calls that arrive at `local_agent.url` during the test, from any caller, in order.

        assert agent_calls.operations == ["create_plugin_release", "run_plugin_release"]
        assert agent_calls[1].json["params"] == {"top": 1}
        assert len(agent_calls.of("run_plugin_release")) == 1

    Each has `operation`, `method`, `path`, `query`, `lookup`, `headers`, `body` and `json`. Retries and calls that met
    a fault are included. The repr shows no secrets.
    """
    calls = local_agent.calls
    calls.clear()
    calls.is_recording = True
    yield calls
    calls.is_recording = False
    calls.clear()


def _folder(config: pytest.Config, folder: str | Path) -> Path:
    """The absolute path of a plugin folder; the test fails if it does not exist."""
    path = config.rootpath / folder
    if not path.is_dir():
        pytest.fail(f"{MARKER}: no folder {path} (paths are relative to the rootdir)", pytrace=False)
    return path
