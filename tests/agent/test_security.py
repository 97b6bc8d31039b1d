"""Who is let in: by which name, from where, and with how much patience."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from synapse_local_agent import HostError, app
from synapse_local_agent.hosts import allowed, is_allowed
from synapse_local_agent.protocol import PatientProtocol

from tests.agent.helpers import client_at, client_of, detail, raw_request, result_of, run_source, until, url_of
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.agent.conftest import Serve

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it is refused
ODD_HOSTS = ["", "[", 'a b"', "x:99999999", "user:secret@127.0.0.1", "127.0.0.1?y#z", "127.0.0.1/", "\\", "127.0.0.1:"]


@pytest.fixture
def impatient(registry: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedAgent]:
    """An agent that waits for nothing longer than a moment."""
    for name in ("header_seconds", "body_seconds", "linger_seconds"):
        monkeypatch.setattr(PatientProtocol, name, 0.3)
    with ThreadedAgent(registry) as agent:
        yield agent


def connect(url: str) -> socket.socket:
    """A bare connection to the agent at a URL."""
    where = httpx.URL(url)
    return socket.create_connection((where.host, where.port or 80), timeout=10)


def keep_sending(connection: socket.socket, part: bytes) -> None:
    """Send a part again and again, for five seconds or until the connection breaks."""
    limit = time.monotonic() + 5
    while time.monotonic() < limit:
        connection.sendall(part)
        time.sleep(0.02)


def received(connection: socket.socket) -> bytes:
    """All that arrives until the agent closes the connection, however it does."""
    content = b""
    try:
        while part := connection.recv(65536):
            content += part
    except ConnectionError:
        pass
    return content


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:1", "127.0.0.1:8600", "[::1]:8600"])
def test_loopback_names_are_let_in(agent: ThreadedAgent, host: str) -> None:
    """Each name of this machine's loopback is taken, with whatever port, and in whatever case."""
    assert httpx.get(f"{agent.url}/health/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8600", *ODD_HOSTS])
@pytest.mark.parametrize("path", ["/health/", "/plugin_releases/", "/docs", "/openapi.json", "/nosuch"])
def test_other_names_are_refused(agent: ThreadedAgent, path: str, host: str) -> None:
    """A request that calls the agent by another name is 400 on every path, so no web page reaches it by its own."""
    response = httpx.get(f"{agent.url}{path}", headers={"Host": host, "Authorization": agent.token})
    assert response.status_code == 400
    assert "--allowed-host" in detail(response)


def test_allowed_names_are_let_in(registry: Path) -> None:
    """A name that the agent was told of is taken, and its pages link to themselves by that name."""
    with ThreadedAgent(registry, allowed_hosts=["Agent.Example"]) as agent, client_of(agent) as http:
        assert http.get("/plugin_releases/", headers={"Host": "agent.example:1"}).status_code == 200
        assert http.get("/plugin_releases/", headers={"Host": "other.example"}).status_code == 400


@pytest.mark.parametrize(
    ("host", "further", "expected"),
    [
        ("127.0.0.1", [], set()),
        ("::1", [], set()),
        ("localhost", [], set()),
        ("127.8.8.8", [], {"127.8.8.8"}),
        ("192.0.2.7", ["a.example"], {"192.0.2.7", "a.example"}),
        (EVERYWHERE, ["a.example"], {"a.example"}),
        ("::", ["[2001:db8::1]"], {"2001:db8::1"}),
    ],
)
def test_names_of_an_agent(host: str, further: list[str], expected: set[str]) -> None:
    """An agent answers to loopback's names, to the address it listens on, and to what it is told."""
    assert allowed(host, further, has_token=True) == {"localhost", "127.0.0.1", "::1"} | expected


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.7", "2001:db8::1", "agent.example", ""])
def test_listening_beyond_this_machine_needs_a_token(host: str) -> None:
    """Where others can reach the agent, a token that it made itself is not enough."""
    with pytest.raises(HostError, match="choose a token"):
        allowed(host, ["agent.example"], has_token=False)


@pytest.mark.parametrize("host", [EVERYWHERE, "::", ""])
def test_listening_everywhere_needs_a_name(host: str) -> None:
    """An agent on all addresses has to be told how callers spell it."""
    with pytest.raises(HostError, match="--allowed-host"):
        allowed(host, [], has_token=True)
    assert not is_allowed(EVERYWHERE, allowed(EVERYWHERE, ["a.example"], has_token=True))


def test_refused_start_leaves_nothing(serve: Serve, tmp_path: Path) -> None:
    """`serve` on all addresses without a token or a name is one line that says what to give, and exit code 2."""
    for arguments, expected in (
        (["--allowed-host", "a.example"], "--token-file"),
        (["--token", "t"], "--allowed-host"),
    ):
        process = serve("--host", EVERYWHERE, "--data", tmp_path / "data", *arguments)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err.count("\n")) == (2, "", 1)
        assert expected in err
    assert not (tmp_path / "data").exists()


def test_no_page_of_another_origin_is_let_in(agent: ThreadedAgent) -> None:
    """A browser's question whether another origin may call is answered with no, and no answer says otherwise."""
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    status, answered, _ = raw_request(agent, "OPTIONS", "/plugin_releases/", headers)
    assert status == 405
    assert not [name for name in answered if name.startswith("access-control-")]
    _, answered, _ = raw_request(agent, "GET", "/plugin_releases/", headers)
    assert not [name for name in answered if name.startswith("access-control-")]


def test_slow_headers_are_given_up(impatient: ThreadedAgent) -> None:
    """A client that sends its headers bit by bit is dropped, however steadily it goes on, and so is a silent one."""
    with connect(impatient.url) as silent, connect(impatient.url) as slow:
        slow.sendall(b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            keep_sending(slow, b"x: y\r\n")
        assert time.monotonic() - started < 3
        assert received(silent) == b""
    assert httpx.get(f"{impatient.url}/health/").status_code == 200


def test_slow_headers_of_a_further_request_are_given_up(impatient: ThreadedAgent) -> None:
    """A connection that has served a request is dropped too, once the next one is not finished."""
    with connect(impatient.url) as connection:
        connection.sendall(b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /health/ HT")
        assert received(connection).count(b"HTTP/1.1 200") == 1


def test_slow_body_is_given_up(impatient: ThreadedAgent) -> None:
    """A client that does not finish its body in time is dropped, however steadily it sends."""
    head = f"POST /plugin_releases/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {impatient.token}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    with connect(impatient.url) as connection:
        connection.sendall(head.encode())
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            keep_sending(connection, b" ")
        assert time.monotonic() - started < 3


def test_patience_is_for_clients_not_for_actions(impatient: ThreadedAgent) -> None:
    """An action takes the time that it takes, and a connection that is used again and again is not dropped."""
    with client_of(impatient) as http:
        assert result_of(run_source(http, "import time\ndef run(params): time.sleep(0.8)")) is None
        started = time.monotonic()
        while time.monotonic() < started + 0.8:
            assert http.get("/health/").status_code == 200


@pytest.mark.parametrize(("token", "status"), [("wrong", 401), (None, 413)])
def test_refusal_arrives_before_the_body_is_sent(impatient: ThreadedAgent, token: str | None, status: int) -> None:
    """What is refused unread is answered at once; what is still sent is thrown away, and then the client is dropped."""
    head = f"POST /plugin_releases/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token or impatient.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {app.MAX_BODY_BYTES + 1}\r\n\r\n"
    with connect(impatient.url) as connection:
        connection.sendall(head.encode() + b" " * 2**20)
        assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            keep_sending(connection, b" " * 1000)
        assert time.monotonic() - started < 3


def test_refusal_with_a_body_keeps_the_connection(agent: ThreadedAgent) -> None:
    """A refusal whose body arrives whole leaves a connection that serves the next request."""
    with connect(agent.url) as connection:
        bad = b"POST /plugin_releases/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 300000\r\n\r\n" + b" " * 300_000
        connection.sendall(bad + b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert re.findall(rb"HTTP/1.1 (\d+)", received(connection)) == [b"401", b"200"]


def test_headers_have_a_limit(agent: ThreadedAgent) -> None:
    """Headers without end are 400, and the connection is closed."""
    with connect(agent.url) as connection:
        try:
            connection.sendall(b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\nx: " + b"y" * 2**20)
        except ConnectionError:
            return  # closed before all of it was sent
        assert received(connection).startswith(b"HTTP/1.1 400 ")


def test_access_log(serve: Serve, tmp_path: Path) -> None:
    """Each request is a line on stderr: method, path, status, milliseconds and job id, and never a query or a token."""
    process = serve("--data", tmp_path / "data", "--log-level", "info", SYNAPSE_AGENT_TOKEN="secret-token")
    with client_at(url_of(process), "secret-token") as http:
        http.get("/health/")
        http.get("/plugin_releases/?plugin=secret-query")
        run_source(http, "def run(params): return 1", job_id='nightly\n"7"')
        http.get("/plugin_releases/", headers={"Authorization": "secret-other"})
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert "secret" not in err
    found = re.findall(r"^\d{4}-\d\d-\d\d [\d:,]+ INFO ([A-Z]+ /.*?) \d+\.\d ms(.*)$", err, re.MULTILINE)
    assert found == [
        ("GET /health/ 200", ""),
        ("GET /plugin_releases/ 200", ""),
        ("POST /plugin_releases/run_debug/ 200", r' job "nightly\n\"7\""'),
        ("GET /plugin_releases/ 401", ""),
    ]


def test_grace_is_what_was_asked_for(serve: Serve) -> None:
    """With --grace 0 a stop ends a running action at once."""
    process = serve("--grace", "0", SYNAPSE_AGENT_TOKEN="token")
    url = url_of(process)
    with connect(url) as connection:
        body = b'{"action":"run","config":{"actions":{"run":{"entrypoint":"m:run"}}},"modules":{"m":"import time\\n'
        body += b'def run(params): time.sleep(30)"}}'
        head = "POST /plugin_releases/run_debug/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        until(lambda: httpx.get(f"{url}/health/").status_code == 200)
        started = time.monotonic()
        process.terminate()
        assert b"action_crashed" in received(connection)
        process.communicate(timeout=8)
        assert time.monotonic() - started < 2.5


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: dZ=\r\n\r\n", b"\x00\xff\r\n\r\n"],
    ids=["length", "bytes"],
)
def test_what_is_no_http_is_refused_in_json(agent: ThreadedAgent, request_: bytes) -> None:
    """What is no HTTP is answered with 400, in the form of every other error, and the connection is closed."""
    with connect(agent.url) as connection:
        connection.sendall(request_)
        head, _, body = received(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body).keys() == {"detail"}
