"""The agent behind a proxy: faults for selected calls, everything else forwarded, and every call recorded."""

from __future__ import annotations

import functools
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_agent_sdk import AgentClient, RetryPolicy, exceptions
from synapse_agent_sdk.testing import faults
from synapse_agent_sdk.testing.agent import ProxiedAgent
from synapse_agent_sdk.testing.faults import Fault, reply, status
from synapse_agent_sdk.testing.server import FaultServer

from tests.agent.helpers import write_plugin
from tests.wire.faults import CALLS, SECONDS, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ECHO = """
import pathlib, time

def run(params):
    if "touch" in params:
        pathlib.Path(params["touch"]).touch()
    while "until" in params and not pathlib.Path(params["until"]).exists():
        time.sleep(0.01)
    return params.get("text", params)
"""
KEY = "3b0f5bd2-8f1d-4e0c-9c53-0f2a3d9c1a11"
ONCE = RetryPolicy(attempts=1, reconnect=0)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedAgent]:
    """An agent that has cached `echo@1.0.0`."""
    registry = tmp_path_factory.mktemp("registry")
    write_plugin(registry, "echo", {"plugin.py": ECHO})
    with ProxiedAgent(registry) as agent:
        with AgentClient(agent.direct_url, agent.token) as client:
            client.create_plugin_release("echo", "1.0.0")
        yield agent


@pytest.fixture
def agent(shared: ProxiedAgent) -> ProxiedAgent:
    """The agent, without faults or recorded calls."""
    shared.faults.clear()
    shared.calls.clear()
    return shared


@pytest.fixture
def client(agent: ProxiedAgent) -> Iterator[AgentClient]:
    """A client without retries."""
    with AgentClient(agent.url, agent.token, retry=ONCE, timeout=SECONDS) as client:
        yield client


def run(client: AgentClient, *, timeout: float = SECONDS, **params: Any) -> Any:
    """Run the action."""
    return client.run_plugin_release("echo@1.0.0", "run", params, timeout=timeout)


def codes(agent: ProxiedAgent, number: int) -> list[int]:
    """The status codes of consecutive calls."""
    return [httpx.get(f"{agent.url}/health/", timeout=SECONDS).status_code for _ in range(number)]


def connect(agent: ProxiedAgent) -> socket.socket:
    """A connection to the proxy."""
    return socket.create_connection(("127.0.0.1", httpx.URL(agent.url).port or 0))


def test_what_meets_no_fault_is_answered_by_the_agent(agent: ProxiedAgent, client: AgentClient) -> None:
    """Large and chunked calls pass in both directions, over one connection."""
    text = "ü" * 3_000_000
    assert run(client, text=text) == text
    assert client.list_plugin_releases({"page_size": 1})["results"][0]["plugin"] == "echo"
    assert {call.connection for call in agent.calls} == {agent.calls[0].connection}
    url = f"{agent.url}/plugin_releases/echo@1.0.0/run/"
    headers = {"Authorization": agent.token, "Content-Type": "application/json"}
    parts = iter([b'{"action": "run", ', b'"params": {"text": "chunks"}}'])
    assert httpx.post(url, content=parts, headers=headers, timeout=SECONDS).json() == "chunks"
    assert agent.calls[2].json["params"] == {"text": "chunks"}


def test_faults_are_met_as_often_as_asked_and_the_others_told(agent: ProxiedAgent, client: AgentClient) -> None:
    """Faults are met in order, those of always() last, each only by its operation."""
    agent.faults.always(status(500))
    agent.faults.next(status(503), status(404), times=2)
    agent.faults.next(status(409, "not now"))
    assert codes(agent, 7) == [503, 503, 404, 404, 409, 500, 500]
    assert agent.faults.unmet == []
    agent.faults.clear()
    agent.faults.next(faults.gpu_unavailable(), operation="run_plugin_release")
    assert codes(agent, 1) == [200]
    with pytest.raises(exceptions.GpuUnavailableError):
        run(client)
    agent.faults.next(faults.slow(0.05))
    assert run(client, text="done") == "done"
    agent.faults.next(status(503, retry_after=1), times=3)
    agent.faults.always(faults.reset(), operation="delete_plugin_release")
    assert codes(agent, 1) == [503]
    left = ["next(status(503, retry_after=1), times=2)", "always(reset(), operation='delete_plugin_release')"]
    assert agent.faults.unmet == left


Meant = list[tuple[Fault, type[Exception]]]
INCOMPLETE = exceptions.ClientResponseIncompleteError
DAMAGES: Meant = [(faults.cut_body(), INCOMPLETE), (faults.lost_answer(), INCOMPLETE)]
REPLACEMENTS: Meant = [
    (status(503), exceptions.ServerError),
    (reply({"detail": "no"}, 418), exceptions.HTTPError),
    (faults.body(b"<h1>Bad gateway</h1>", 502, {"Content-Type": "text/html"}), exceptions.ServerError),
    (faults.disconnect(), INCOMPLETE),
    (faults.reset(), INCOMPLETE),
    (faults.cut_headers(), INCOMPLETE),
    (faults.garbage(), INCOMPLETE),
    (faults.raw(b"HTTP/1.1 503 Busy\r\n\r\n"), exceptions.ServerError),
    (faults.then(faults.raw(b"HTTP/1.1 2", keep=True), faults.reset()), exceptions.ClientConnectionError),
]
ENDLESS: Meant = [
    (fault, exceptions.ClientTimeoutError)
    for fault in (faults.drip(b" ", start=faults.head(200)), faults.no_answer(), faults.slow(SECONDS))
]


def test_whether_the_agent_has_carried_it_out(agent: ProxiedAgent, client: AgentClient, tmp_path: Path) -> None:
    """A fault that damages the response comes after the run; with one that replaces it, the agent sees nothing."""
    ran = tmp_path / "ran"
    for fault, error in DAMAGES + REPLACEMENTS + ENDLESS:
        agent.faults.next(fault)
        with pytest.raises(error):
            run(client, touch=str(ran), timeout=0.1 if (fault, error) in ENDLESS else SECONDS)
        assert ran.exists() == ((fault, error) in DAMAGES), fault
        ran.unlink(missing_ok=True)
    agent.faults.next(faults.cut_body())  # half of the body arrives
    with connect(agent) as connection:
        connection.sendall(b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    assert any(f"content-length: {2 * len(body) + odd}".encode() in head for odd in (0, 1))


def test_an_agent_that_is_down_refuses_and_comes_back(agent: ProxiedAgent, client: AgentClient) -> None:
    """While down, the agent refuses connections and closes open ones; then it is back with its releases."""
    url = agent.url
    release = client.get_plugin_release("echo@1.0.0")
    with agent.faults.down():
        with pytest.raises(exceptions.ClientConnectionError):
            client.get_plugin_release(release)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health/", timeout=SECONDS)
    assert agent.url == url
    assert client.get_plugin_release(release) == release


def test_callers_that_leave_or_speak_no_http(agent: ProxiedAgent, client: AgentClient, tmp_path: Path) -> None:
    """When a caller disconnects, so does the proxy from the agent; a caller without HTTP is disconnected."""
    with pytest.raises(exceptions.ClientTimeoutError):
        run(client, until=str(tmp_path / "go"), timeout=0.05)
    until(lambda: not agent._front.open_connections)
    for nonsense in (b"\x16\x03\x01\x00\xee\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with connect(agent) as connection:
            connection.sendall(nonsense)
            assert connection.recv(1) == b""
    assert run(client, text="next") == "next"
    assert agent.calls.operations == ["run_plugin_release"] * 2
    (tmp_path / "go").touch()


def test_calls_at_once_are_all_answered_and_recorded(agent: ProxiedAgent, client: AgentClient) -> None:
    """Concurrent callers get their own responses, each fault is met once, and every call is recorded."""
    agent.faults.next(status(503), times=20)

    def ask(number: int) -> int:
        try:
            return int(client.list_plugin_releases({"number": number})["count"])
        except exceptions.ServerError:
            return 503

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(60))) == [1] * 40 + [503] * 20
    assert {dict(call.query)["number"] for call in agent.calls} == {str(number) for number in range(60)}


def test_a_call_is_recorded_as_it_arrived(agent: ProxiedAgent, client: AgentClient) -> None:
    """A record has operation, method, path, query, lookup, headers and JSON once the response has arrived."""
    client.run_plugin_release("echo@1.0.0", "run", {"text": "x"}, idempotency_key=KEY)
    client.list_plugin_releases({"plugin": "echo", "page_size": 5})
    httpx.get(f"{agent.url}/nowhere", timeout=SECONDS)
    ran, listed, nowhere = agent.calls
    expected = ("run_plugin_release", "POST", "/plugin_releases/echo%401.0.0/run/")
    assert (ran.operation, ran.method, ran.path) == expected
    assert (ran.lookup, ran.json) == ("echo@1.0.0", {"action": "run", "params": {"text": "x"}})
    assert (ran.headers["Authorization"], ran.headers["idempotency-key"]) == (agent.token, KEY)
    assert sorted(listed.query) == [("page_size", "5"), ("plugin", "echo")]
    assert nowhere.operation is None
    assert agent.calls.of("list_plugin_releases") == [listed]
    agent.calls.clear()
    agent.faults.always(status(500))
    for name, arguments in CALLS.items():
        with pytest.raises(exceptions.ServerError):
            getattr(client, name)(*arguments)
    assert agent.calls.operations == list(CALLS)


def test_no_record_shows_a_secret(agent: ProxiedAgent) -> None:
    """The repr of calls shows no token, no unknown header and no query, which may hold a secret."""
    headers = {"X-Api-Key": "secret-of-a-header"}
    with AgentClient(agent.url, agent.token, user_token="user-token", tenant="tenant-1", headers=headers) as client:
        client.list_plugin_releases({"key": "secret-of-the-query"})
    shown = f"{agent.calls!r} {agent.calls} {agent.calls[0].headers} {agent!r} {agent.faults!r}"
    assert "list_plugin_releases: GET /plugin_releases/?..." in shown
    secrets = [agent.token, "secret-of-a-header", "user-token", "tenant-1", "secret-of-the-query"]
    assert [secret for secret in secrets if secret in shown] == []


def test_a_fault_that_could_never_be_met_is_refused(agent: ProxiedAgent) -> None:
    """Invalid faults, counts and operations are rejected immediately, with the valid ones in the message."""
    nobody, call = socket.socket(), agent.faults.next
    wrong: dict[str, Callable[[], object]] = {
        "No fault was passed": call,
        r"such as status\(503\), not <function status": lambda: call(status),  # type: ignore[arg-type]  # on purpose
        "of 1 or more, not 0": lambda: call(status(503), times=0),
        "Unknown operation 'run': the contract has create": lambda: agent.faults.always(status(503), operation="run"),
        "from 200 to 599, not 42": lambda: status(42),
        "Unknown operation 'runs'": lambda: agent.calls.of("runs"),
        "no agent behind this server": lambda: faults.lost_answer()(nobody),
    }
    with nobody:
        for message, ask in wrong.items():
            with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
                ask()
    assert agent.faults.unmet == []


def test_an_agent_that_is_not_running_says_so(tmp_path: Path) -> None:
    """Before start() and after stop() there is no URL, and there are no faults or calls; nothing is left running."""
    before = set(threading.enumerate())
    agent = ProxiedAgent(tmp_path)
    with agent:
        assert codes(agent, 1) == [200]
    for attribute in ("url", "direct_url", "faults", "calls"):
        for stopped in (agent, ProxiedAgent(tmp_path)):
            with pytest.raises(RuntimeError, match=r"not running: call start\(\)"):
                getattr(stopped, attribute)
    agent.stop()  # safe to call twice
    assert set(threading.enumerate()) - before == set()


def test_a_server_closes_while_connections_come_in(request: pytest.FixtureRequest) -> None:
    """A connection that arrives while the server closes is closed too, without an exception."""
    request.addfinalizer(functools.partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)  # switch threads as often as possible
    for _ in range(2000):  # four times as many as it took to fail
        with FaultServer([reply({})]) as server:
            connection = socket.create_connection(("127.0.0.1", server.port))
        connection.close()
        assert server.open_connections == set()
