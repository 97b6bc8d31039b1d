"""The agent behind a proxy: faults for the calls that are meant, everything else passed on, and every call recorded."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, RetryPolicy
from synapse_sdk.testing import faults
from synapse_sdk.testing.agent import ProxiedAgent
from synapse_sdk.testing.faults import Fault, status
from synapse_sdk.testing.server import FaultServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from synapse_sdk.testing.server import Received

ECHO = """
import pathlib, time

def run(params):
    if "append" in params:
        with open(params["append"], "a") as file:
            file.write("ran\\n")
    time.sleep(params.get("seconds", 0))
    return params.get("text", params)
"""
KEY = "3b0f5bd2-8f1d-4e0c-9c53-0f2a3d9c1a11"
ONCE = RetryPolicy(attempts=1, reconnect=0)


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
    with AgentClient(agent.url, agent.token, retry=ONCE) as client:
        yield client


def run(client: AgentClient, **params: Any) -> Any:
    """Run the action."""
    return client.run_plugin_release("echo@1.0.0", "run", params, timeout=2)


def test_what_meets_no_fault_is_answered_by_the_agent(agent: ProxiedAgent, client: AgentClient) -> None:
    """Calls pass in both directions, of any size, over one connection, and the agent's URLs lead back to the proxy."""
    text = "ü" * 3_000_000
    assert run(client, text=text) == text
    assert client.list_plugin_releases()["count"] == 1
    assert httpx.get(f"{agent.url}/openapi.json").json()["openapi"].startswith("3.1")
    page = httpx.get(f"{agent.url}/plugin_releases/?page_size=1", headers={"Authorization": agent.token})
    assert page.json()["results"][0]["plugin"] == "echo"
    assert {call.connection for call in agent.calls[:2]} == {agent.calls[0].connection}


def test_an_answer_in_two_parts_is_not_held_back(agent: ProxiedAgent, client: AgentClient) -> None:
    """What the agent sends in parts is passed on at once: no part waits 40 ms until the one before is acknowledged."""
    seconds = []
    for _ in range(40):
        started = time.monotonic()
        client.health_check()
        seconds.append(time.monotonic() - started)
    assert sorted(seconds)[10] < 0.02  # on a machine that is busy with something else, most may take longer


def test_a_fault_is_met_as_often_as_asked_and_then_no_more(agent: ProxiedAgent, client: AgentClient) -> None:
    """Faults come in the order in which they were asked for, each as often as it was, and then the agent answers."""
    agent.faults.next(status(503), status(404), times=2)
    agent.faults.next(status(409, "not now"))
    seen = [httpx.get(f"{agent.url}/health/").status_code for _ in range(6)]
    assert seen == [503, 503, 404, 404, 409, 200]
    assert agent.faults.unmet == []


def test_a_fault_for_an_operation_leaves_the_others_alone(agent: ProxiedAgent, client: AgentClient) -> None:
    """A fault that is meant for one operation waits for it, and other calls pass meanwhile."""
    agent.faults.next(faults.gpu_unavailable(), operation="run_plugin_release")
    release = client.get_plugin_release("echo@1.0.0")
    assert client.health_check().get("status") == "ok"
    with pytest.raises(exceptions.GpuUnavailableError):
        client.run_plugin_release(release, "run")
    assert client.run_plugin_release(release, "run", {"text": "done"}) == "done"


def test_a_fault_that_stays_is_met_until_it_is_cleared(agent: ProxiedAgent, client: AgentClient) -> None:
    """A fault of always() is met by every call after those of next(), until clear()."""
    agent.faults.always(status(500))
    agent.faults.next(status(429))
    seen = [httpx.get(f"{agent.url}/health/").status_code for _ in range(4)]
    agent.faults.clear()
    assert [*seen, httpx.get(f"{agent.url}/health/").status_code] == [429, 500, 500, 500, 200]


def test_what_was_not_met_is_told(agent: ProxiedAgent, client: AgentClient) -> None:
    """The faults that are left are told as they were asked for, with how often they are still to come."""
    agent.faults.next(status(503, retry_after=1), times=3)
    agent.faults.always(faults.reset(), operation="delete_plugin_release")
    with pytest.raises(exceptions.ServerError):
        client.health_check()
    assert agent.faults.unmet == [
        "next(status(503, retry_after=1), times=2)",
        "always(reset(), operation='delete_plugin_release')",
    ]
    agent.faults.clear()
    assert agent.faults.unmet == []


DAMAGES = {
    "cut_body": (faults.cut_body(), exceptions.ClientResponseIncompleteError),
    "lost_answer": (faults.lost_answer(), exceptions.ClientResponseIncompleteError),
}
REPLACEMENTS = {
    "status": (status(503), exceptions.ServerError),
    "gpu_unavailable": (faults.gpu_unavailable(), exceptions.GpuUnavailableError),
    "reply": (faults.reply({"detail": "no"}, 418), exceptions.HTTPError),
    "html": (faults.body(b"<h1>Bad gateway</h1>", 502, {"Content-Type": "text/html"}), exceptions.ServerError),
    "disconnect": (faults.disconnect(), exceptions.ClientResponseIncompleteError),
    "reset": (faults.reset(), exceptions.ClientResponseIncompleteError),
    "cut_headers": (faults.cut_headers(), exceptions.ClientResponseIncompleteError),
    "garbage": (faults.garbage(), exceptions.ClientResponseIncompleteError),
    "raw": (faults.raw(b"HTTP/1.1 503 Busy\r\n\r\n"), exceptions.ServerError),
    "drip": (faults.drip(b" ", start=faults.head(200)), exceptions.ClientResponseTimeoutError),
    "then": (
        faults.then(faults.raw(b"HTTP/1.1 2", keep=True), faults.reset()),
        exceptions.ClientResponseIncompleteError,
    ),
    "no_answer": (faults.no_answer(), exceptions.ClientResponseTimeoutError),
}


@pytest.mark.parametrize("name", [*DAMAGES, *REPLACEMENTS])
def test_whether_the_agent_has_carried_it_out(
    agent: ProxiedAgent, client: AgentClient, tmp_path: Path, name: str
) -> None:
    """A fault that damages the agent's answer comes after the run, and one in its place has the agent see nothing."""
    fault, error = (DAMAGES | REPLACEMENTS)[name]
    file = tmp_path / "runs"
    agent.faults.next(fault)
    with pytest.raises(error):
        client.run_plugin_release("echo@1.0.0", "run", {"append": str(file)}, timeout=0.3 if name == "drip" else 0.5)
    assert file.exists() is (name in DAMAGES)
    assert agent.calls.operations == ["run_plugin_release"]


def test_each_fault_of_the_module_is_tested() -> None:
    """Every function that makes a fault stands in a test of this module, and in the table of its own."""
    made = {
        name for name, each in vars(faults).items() if getattr(each, "__annotations__", {}).get("return") == "Fault"
    }
    assert made - {*DAMAGES, *REPLACEMENTS} == {"body", "slow"}
    assert faults.__doc__ is not None
    assert {name for name in made if f"`{name}(" not in faults.__doc__} == set()


def test_a_cut_body_is_half_of_the_answer(agent: ProxiedAgent) -> None:
    """Of an answer with a body, the whole head and the first half of the body arrive; of one without, a cut head."""
    agent.faults.next(faults.cut_body())
    with socket.create_connection(("127.0.0.1", httpx.URL(agent.url).port or 0)) as connection:
        connection.sendall(b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert (
        f"content-length: {2 * len(body)}".encode() in head or f"content-length: {2 * len(body) + 1}".encode() in head
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not faults.cut_body()(ours, lambda: b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n")
        assert theirs.recv(65536) == b"HTTP/1.1 204 No Content\r\nX: y"


def test_a_slow_answer_is_the_agents_own(agent: ProxiedAgent, client: AgentClient) -> None:
    """A slow answer comes after its time and is the agent's, and is not asked for where the caller has left."""
    agent.faults.next(faults.slow(0.05), faults.slow(5))
    started = time.monotonic()
    assert run(client, text="late") == "late"
    assert time.monotonic() - started >= 0.05
    with pytest.raises(exceptions.ClientResponseTimeoutError):
        client.run_plugin_release("echo@1.0.0", "run", {"text": "never"}, timeout=0.05)


def test_an_agent_that_is_down_refuses_and_comes_back(agent: ProxiedAgent, client: AgentClient) -> None:
    """While it is down connections are refused, open ones included; then it is back at its URL, with its releases."""
    url = agent.url
    release = client.get_plugin_release("echo@1.0.0")
    with agent.faults.down():
        with pytest.raises(exceptions.ClientConnectionError):
            client.get_plugin_release(release)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health/")
    assert agent.url == url
    assert client.get_plugin_release(release) == release


def test_an_agent_that_comes_back_in_time_is_waited_for(agent: ProxiedAgent) -> None:
    """A client with its usual policy outlasts an agent that is down for a moment."""
    with AgentClient(agent.url, agent.token) as client:
        down = agent.faults.down()
        down.__enter__()
        timer = threading.Timer(0.05, down.__exit__, (None, None, None))
        timer.start()
        try:
            assert client.health_check().get("status") == "ok"
        finally:
            timer.join()


def test_what_a_caller_left_is_left_at_the_agent_too(agent: ProxiedAgent, client: AgentClient) -> None:
    """A caller that goes away while the agent works takes the connection to the agent with it, and others go on."""
    with pytest.raises(exceptions.ClientResponseTimeoutError):
        client.run_plugin_release("echo@1.0.0", "run", {"seconds": 0.3}, timeout=0.05)
    deadline = time.monotonic() + 5
    while agent._front.open_connections and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not agent._front.open_connections
    assert run(client, text="next") == "next"


def test_calls_at_once_are_all_answered_and_recorded(agent: ProxiedAgent) -> None:
    """Callers at once get their own answers, each fault is met once, and no call is missing from the record."""
    agent.faults.next(status(503), times=20)
    with AgentClient(agent.url, agent.token, retry=ONCE) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> int | None:
            try:
                return int(client.list_plugin_releases({"number": number})["count"])
            except exceptions.ServerError as error:
                return error.status_code

        answers = list(pool.map(ask, range(60)))
    assert sorted(answer or 0 for answer in answers) == [1] * 40 + [503] * 20
    assert {dict(call.query)["number"] for call in agent.calls} == {str(number) for number in range(60)}


def test_a_call_is_recorded_as_it_arrived(agent: ProxiedAgent, client: AgentClient) -> None:
    """A record has operation, method, path, query, lookup, headers and JSON, and is there when the answer is."""
    client.run_plugin_release("echo@1.0.0", "run", {"text": "x"}, idempotency_key=KEY)
    client.list_plugin_releases({"plugin": "echo", "page_size": 5})
    httpx.get(f"{agent.url}/nowhere")
    ran, listed, nowhere = agent.calls
    assert (ran.operation, ran.method, ran.path) == (
        "run_plugin_release",
        "POST",
        "/plugin_releases/echo%401.0.0/run/",
    )
    assert (ran.lookup, ran.json) == ("echo@1.0.0", {"action": "run", "params": {"text": "x"}})
    assert (ran.headers["Authorization"], ran.headers["idempotency-key"]) == (agent.token, KEY)
    assert sorted(listed.query) == [("page_size", "5"), ("plugin", "echo")]
    assert nowhere.operation is None
    assert agent.calls.of("list_plugin_releases") == [listed]


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


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda faults: faults.next(), TypeError, "No fault was given"),
        (lambda faults: faults.next(status), TypeError, r"such as status\(503\), not <function status"),
        (lambda faults: faults.next(503), TypeError, "not 503"),
        (lambda faults: faults.next(status(503), times=0), ValueError, "1 or more, not 0"),
        (lambda faults: faults.next(status(503), times=1.5), ValueError, "not 1.5"),
        (lambda faults: faults.always(status(503), operation="run"), ValueError, "no operation 'run': it has create"),
        (lambda _: status(42), ValueError, "from 200 to 599, not 42"),
    ],
)
def test_a_fault_that_could_never_be_met_is_refused(
    agent: ProxiedAgent, wrong: Any, error: type[Exception], message: str
) -> None:
    """What is no fault, no number or no operation is refused where it is asked for, and the message says what is."""
    with pytest.raises(error, match=message):
        wrong(agent.faults)
    assert agent.faults.unmet == []


def test_calls_of_an_operation_that_is_none_are_refused(agent: ProxiedAgent) -> None:
    """A misspelled operation is an error, and not an empty list."""
    with pytest.raises(ValueError, match="no operation 'runs'"):
        agent.calls.of("runs")


def test_a_fault_of_ones_own_is_given_the_connection_and_the_agents_answer(
    agent: ProxiedAgent, client: AgentClient
) -> None:
    """Fault takes any function of the connection and of what has the agent answer."""

    def shout(connection: socket.socket, forward: faults.Forward) -> bool:
        connection.sendall(forward().replace(b"hello", b"HELLO"))
        return True

    agent.faults.next(Fault("shout", shout))
    assert run(client, text="hello") == "HELLO"
    assert run(client, text="hello") == "hello"


def test_a_body_in_chunks_is_passed_on(agent: ProxiedAgent) -> None:
    """A request whose length is not known before is read whole, recorded and passed on."""

    def parts() -> Iterator[bytes]:
        yield b'{"action": "run", '
        yield b'"params": {"text": "chunks"}}'

    url, headers = f"{agent.url}/plugin_releases/echo@1.0.0/run/", {"Authorization": agent.token}
    answer = httpx.post(url, content=parts(), headers={**headers, "Content-Type": "application/json"})
    assert answer.json() == "chunks"
    assert agent.calls[0].json["params"] == {"text": "chunks"}


def test_what_is_no_http_ends_its_connection_alone(agent: ProxiedAgent, client: AgentClient) -> None:
    """A caller that speaks no HTTP, or half of it, is hung up on, and the others go on."""
    for nonsense in (b"\x16\x03\x01\x00\xee\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", httpx.URL(agent.url).port or 0)) as connection:
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
        httpx.get(f"{agent.url}/health/")
    agent.stop()
    with pytest.raises(RuntimeError):
        _ = agent.url
    assert set(threading.enumerate()) - before == set()


def test_a_server_without_an_agent_has_no_answer_to_damage() -> None:
    """What damages an agent's answer says so on a server that has none behind it."""
    with socket.socket() as connection, pytest.raises(RuntimeError, match="no agent behind this server"):
        faults.lost_answer()(connection)


def test_a_server_of_faults_needs_no_agent() -> None:
    """A FaultServer answers as it is told, and keeps what arrived."""
    seen: list[Received]
    with FaultServer([status(503), faults.reply({"id": 7})]) as server, AgentClient(server.url) as client:
        assert client.get_plugin_release(7)["id"] == 7
        seen = server.requests
    assert [(call.method, call.path, call.operation) for call in seen] == [("GET", "/plugin_releases/7", None)] * 2
