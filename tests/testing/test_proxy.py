"""The agent behind a proxy: faults for the calls that are meant, everything else passed on, and every call recorded."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_agent_sdk import AgentClient, RetryPolicy, exceptions
from synapse_agent_sdk.testing import faults
from synapse_agent_sdk.testing.agent import ProxiedAgent
from synapse_agent_sdk.testing.faults import Fault, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ECHO = """
import pathlib, time

def run(params):
    if "append" in params:
        with open(params["append"], "a") as file:
            file.write("ran\\n")
    while "until" in params and not pathlib.Path(params["until"]).exists():
        time.sleep(0.01)
    return params.get("text", params)
"""
KEY = "3b0f5bd2-8f1d-4e0c-9c53-0f2a3d9c1a11"
ONCE = RetryPolicy(attempts=1, reconnect=0)
SECONDS = 120


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with the plugin `echo`."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "echo").mkdir()
    (folder / "echo" / "plugin.py").write_text(ECHO, encoding="utf-8")
    config = "code: echo\nversion: 1.0.0\nactions: {run: {entrypoint: 'plugin:run'}}\n"
    (folder / "echo" / "config.yaml").write_text(config, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def shared(registry: Path) -> Iterator[ProxiedAgent]:
    """An agent that has cached `echo@1.0.0`."""
    with ProxiedAgent(registry) as agent:
        with AgentClient(agent.direct_url, agent.token) as client:
            client.create_plugin_release("echo", "1.0.0")
        yield agent


@pytest.fixture
def agent(shared: ProxiedAgent) -> ProxiedAgent:
    """The agent, without faults and calls."""
    shared.faults.clear()
    shared.calls.clear()
    return shared


@pytest.fixture
def client(agent: ProxiedAgent) -> Iterator[AgentClient]:
    """A client that repeats nothing."""
    with AgentClient(agent.url, agent.token, retry=ONCE, timeout=SECONDS) as client:
        yield client


def run(client: AgentClient, *, timeout: float = SECONDS, **params: Any) -> Any:
    """Run the action."""
    return client.run_plugin_release("echo@1.0.0", "run", params, timeout=timeout)


def codes(agent: ProxiedAgent, number: int) -> list[int]:
    """The statuses of some calls, one after the other."""
    return [httpx.get(f"{agent.url}/health/", timeout=SECONDS).status_code for _ in range(number)]


def connect(agent: ProxiedAgent) -> socket.socket:
    """A connection to the proxy."""
    return socket.create_connection(("127.0.0.1", httpx.URL(agent.url).port or 0))


def test_what_meets_no_fault_is_answered_by_the_agent(agent: ProxiedAgent, client: AgentClient) -> None:
    """Calls pass in both directions, of any size, over one connection, and the agent's URLs lead back to the proxy."""
    text = "ü" * 3_000_000
    assert run(client, text=text) == text
    assert client.list_plugin_releases({"page_size": 1})["results"][0]["plugin"] == "echo"
    assert httpx.get(f"{agent.url}/openapi.json", timeout=SECONDS).json()["openapi"].startswith("3.1")
    assert {call.connection for call in agent.calls[:2]} == {agent.calls[0].connection}


def test_a_fault_is_met_as_often_as_asked_and_then_no_more(agent: ProxiedAgent) -> None:
    """Faults come in the order in which they were asked for, those of always() last, until clear()."""
    agent.faults.always(status(500))
    agent.faults.next(status(503), status(404), times=2)
    agent.faults.next(status(409, "not now"))
    assert codes(agent, 7) == [503, 503, 404, 404, 409, 500, 500]
    assert agent.faults.unmet == []
    agent.faults.clear()
    assert codes(agent, 1) == [200]


def test_a_fault_for_an_operation_leaves_the_others_alone(agent: ProxiedAgent, client: AgentClient) -> None:
    """A fault that is meant for one operation waits for it, and other calls pass meanwhile."""
    agent.faults.next(faults.gpu_unavailable(), operation="run_plugin_release")
    assert client.get_plugin_release("echo@1.0.0")["plugin"] == "echo"
    assert client.health_check().get("status") == "ok"
    with pytest.raises(exceptions.GpuUnavailableError):
        run(client)
    assert run(client, text="done") == "done"


def test_what_was_not_met_is_told(agent: ProxiedAgent) -> None:
    """The faults that are left are told as they were asked for, with how often they are still to come."""
    agent.faults.next(status(503, retry_after=1), times=3)
    agent.faults.always(faults.reset(), operation="delete_plugin_release")
    assert codes(agent, 1) == [503]
    left = ["next(status(503, retry_after=1), times=2)", "always(reset(), operation='delete_plugin_release')"]
    assert agent.faults.unmet == left
    agent.faults.clear()
    assert agent.faults.unmet == []


DAMAGES: dict[str, tuple[Fault, type[Exception]]] = {
    "cut_body": (faults.cut_body(), exceptions.ClientResponseIncompleteError),
    "lost_answer": (faults.lost_answer(), exceptions.ClientResponseIncompleteError),
}
REPLACEMENTS: dict[str, tuple[Fault, type[Exception]]] = {
    "status": (status(503), exceptions.ServerError),
    "gpu_unavailable": (faults.gpu_unavailable(), exceptions.GpuUnavailableError),
    "reply": (faults.reply({"detail": "no"}, 418), exceptions.HTTPError),
    "html": (faults.body(b"<h1>Bad gateway</h1>", 502, {"Content-Type": "text/html"}), exceptions.ServerError),
    "disconnect": (faults.disconnect(), exceptions.ClientResponseIncompleteError),
    "reset": (faults.reset(), exceptions.ClientResponseIncompleteError),
    "cut_headers": (faults.cut_headers(), exceptions.ClientResponseIncompleteError),
    "garbage": (faults.garbage(), exceptions.ClientResponseIncompleteError),
    "raw": (faults.raw(b"HTTP/1.1 503 Busy\r\n\r\n"), exceptions.ServerError),
    "then": (faults.then(faults.raw(b"HTTP/1.1 2", keep=True), faults.reset()), exceptions.ClientConnectionError),
}
ENDLESS: dict[str, tuple[Fault, type[Exception]]] = {
    "drip": (faults.drip(b" ", start=faults.head(200)), exceptions.ClientTimeoutError),
    "no_answer": (faults.no_answer(), exceptions.ClientTimeoutError),
    "slow": (faults.slow(SECONDS), exceptions.ClientTimeoutError),
}


@pytest.mark.parametrize("kind", ["damages", "replacements", "endless"])
def test_whether_the_agent_has_carried_it_out(
    agent: ProxiedAgent, client: AgentClient, tmp_path: Path, kind: str
) -> None:
    """A fault that damages the agent's answer comes after the run, and one in its place has the agent see nothing."""
    meant = {"damages": DAMAGES, "replacements": REPLACEMENTS, "endless": ENDLESS}[kind]
    seen: dict[str, tuple[type[Exception], bool]] = {}
    for name, (fault, error) in meant.items():
        agent.faults.next(fault)
        with pytest.raises(exceptions.ClientError) as caught:
            run(client, append=str(tmp_path / name), timeout=0.1 if kind == "endless" else SECONDS)
        seen[name] = (error if isinstance(caught.value, error) else caught.type, (tmp_path / name).exists())
    assert seen == {name: (error, kind == "damages") for name, (_, error) in meant.items()}


def test_a_cut_body_is_half_of_the_answer(agent: ProxiedAgent) -> None:
    """Of an answer with a body, the whole head and the first half of the body arrive; of one without, a cut head."""
    agent.faults.next(faults.cut_body())
    with connect(agent) as connection:
        connection.sendall(b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [f"content-length: {2 * len(body) + odd}".encode() for odd in (0, 1)]
    assert any(length in head for length in lengths)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not faults.cut_body()(ours, lambda: b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")
        assert theirs.recv(65536) == b"HTTP/1.1 204 No Content\r\nX: y"


def test_an_agent_that_is_down_refuses_and_comes_back(agent: ProxiedAgent, client: AgentClient) -> None:
    """While it is down connections are refused, open ones included; then it is back at its URL, with its releases."""
    url = agent.url
    release = client.get_plugin_release("echo@1.0.0")
    with agent.faults.down():
        with pytest.raises(exceptions.ClientConnectionError):
            client.get_plugin_release(release)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health/", timeout=SECONDS)
    assert agent.url == url
    assert client.get_plugin_release(release) == release


def test_what_a_caller_left_is_left_at_the_agent_too(agent: ProxiedAgent, client: AgentClient, tmp_path: Path) -> None:
    """A caller that goes away while the agent works takes the connection to the agent with it, and others go on."""
    with pytest.raises(exceptions.ClientTimeoutError):
        run(client, until=str(tmp_path / "go"), timeout=0.05)
    deadline = time.monotonic() + SECONDS
    while agent._front.open_connections and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not agent._front.open_connections
    assert run(client, text="next") == "next"
    (tmp_path / "go").touch()


def test_calls_at_once_are_all_answered_and_recorded(agent: ProxiedAgent, client: AgentClient) -> None:
    """Callers at once get their own answers, each fault is met once, and no call is missing from the record."""
    agent.faults.next(status(503), times=20)

    def ask(number: int) -> int | None:
        try:
            return int(client.list_plugin_releases({"number": number})["count"])
        except exceptions.ServerError as error:
            return error.status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(60)))
    assert sorted(answer or 0 for answer in answers) == [1] * 40 + [503] * 20
    assert {dict(call.query)["number"] for call in agent.calls} == {str(number) for number in range(60)}


def test_a_call_is_recorded_as_it_arrived(agent: ProxiedAgent, client: AgentClient) -> None:
    """A record has operation, method, path, query, lookup, headers and JSON, and is there when the answer is."""
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
    with pytest.raises(ValueError, match="no operation 'runs'"):
        agent.calls.of("runs")


def test_no_record_shows_a_secret(agent: ProxiedAgent) -> None:
    """What is shown of calls has no token, no unknown header, and no query, which may hold a secret too."""
    headers = {"X-Api-Key": "secret-of-a-header"}
    with AgentClient(agent.url, agent.token, user_token="user-token", tenant="tenant-1", headers=headers) as client:
        client.list_plugin_releases({"key": "secret-of-the-query"})
    shown = f"{agent.calls!r} {agent.calls} {agent.calls[0].headers} {agent!r} {agent.faults!r}"
    assert "list_plugin_releases: GET /plugin_releases/?..." in shown
    secrets = [agent.token, "secret-of-a-header", "user-token", "tenant-1", "secret-of-the-query"]
    assert [secret for secret in secrets if secret in shown] == []


def test_every_operation_of_the_contract_has_its_name(agent: ProxiedAgent, client: AgentClient) -> None:
    """Each call of the client is recorded under the name of its method."""
    calls: dict[str, tuple[Any, ...]] = {
        "create_plugin_release": ("echo", "1.0.0"),
        "get_plugin_release": ("echo@1.0.0",),
        "list_plugin_releases": (),
        "run_plugin_release": ("echo@1.0.0", "run"),
        "run_debug_plugin_release": ("run",),
        "delete_plugin_release": ("nothing@1",),
        "health_check": (),
    }
    agent.faults.always(status(500))
    for name, arguments in calls.items():
        with pytest.raises(exceptions.ServerError):
            getattr(client, name)(*arguments)
    assert agent.calls.operations == list(calls)


def test_a_fault_that_could_never_be_met_is_refused(agent: ProxiedAgent) -> None:
    """What is no fault, no number or no operation is refused where it is asked for, and the message says what is."""
    wrong: dict[str, tuple[type[Exception], Callable[[], object]]] = {
        "No fault was given": (TypeError, agent.faults.next),
        r"such as status\(503\), not <function status": (TypeError, lambda: agent.faults.next(status)),  # type: ignore[arg-type]
        "1 or more, not 0": (ValueError, lambda: agent.faults.next(status(503), times=0)),
        "not 1.5": (ValueError, lambda: agent.faults.next(status(503), times=1.5)),  # type: ignore[arg-type]
        "no operation 'run': it has create": (ValueError, lambda: agent.faults.always(status(503), operation="run")),
        "from 200 to 599, not 42": (ValueError, lambda: status(42)),
    }
    for message, (error, ask) in wrong.items():
        with pytest.raises(error, match=message):
            ask()
    assert agent.faults.unmet == []


def test_a_fault_of_ones_own_is_given_the_connection_and_the_agents_answer(
    agent: ProxiedAgent, client: AgentClient
) -> None:
    """Fault takes any function of the connection, which holds back no part of an answer, and of the agent's answer."""

    def shout(connection: socket.socket, forward: faults.Forward) -> bool:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.sendall(forward().replace(b"hello", b"HELLO"))
        return True

    agent.faults.next(Fault("shout", shout), faults.slow(0.05))
    assert run(client, text="hello") == "HELLO"
    started = time.monotonic()
    assert run(client, text="hello") == "hello"
    assert time.monotonic() - started >= 0.05


def test_a_body_in_chunks_is_passed_on(agent: ProxiedAgent) -> None:
    """A request whose length is not known before is read whole, recorded and passed on."""
    parts = iter([b'{"action": "run", ', b'"params": {"text": "chunks"}}'])
    url = f"{agent.url}/plugin_releases/echo@1.0.0/run/"
    headers = {"Authorization": agent.token, "Content-Type": "application/json"}
    assert httpx.post(url, content=parts, headers=headers, timeout=SECONDS).json() == "chunks"
    assert agent.calls[0].json["params"] == {"text": "chunks"}


def test_what_is_no_http_ends_its_connection_alone(agent: ProxiedAgent, client: AgentClient) -> None:
    """A caller that speaks no HTTP, or half of it, is hung up on, and the others go on."""
    for nonsense in (b"\x16\x03\x01\x00\xee\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with connect(agent) as connection:
            connection.sendall(nonsense)
            assert connection.recv(1) == b""
    assert client.health_check().get("status") == "ok"
    assert agent.calls.operations == ["health_check"]


def test_an_agent_that_is_not_running_says_so(registry: Path) -> None:
    """Before start() and after stop() there is no URL, and nothing to make faults for; nothing is left running."""
    before = set(threading.enumerate())
    agent = ProxiedAgent(registry)
    for attribute in ("url", "direct_url", "faults", "calls"):
        with pytest.raises(RuntimeError, match=r"not running: call start\(\)"):
            getattr(agent, attribute)
    with agent:
        assert codes(agent, 1) == [200]
    agent.stop()
    with pytest.raises(RuntimeError):
        _ = agent.url
    assert set(threading.enumerate()) - before == set()
