"""Access to the agent: host names, origins, and timeouts of slow clients."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from contextlib import closing, suppress
from http.client import HTTPResponse
from typing import TYPE_CHECKING

import httpx
import pytest
from synapse_local_agent import HostError
from synapse_local_agent.web import app
from synapse_local_agent.web.host_header import allowed, is_allowed
from synapse_local_agent.web.http_protocol import PatientProtocol

from tests.agent.helpers import detail, raw_request, run_source, until
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it is refused
MOMENT = 0.05
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
HEALTH = b"GET /health/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def connect(agent: ThreadedAgent) -> socket.socket:
    """A bare connection to an agent."""
    where = httpx.URL(agent.url)
    return socket.create_connection((where.host, where.port or 80), timeout=120)


def post(agent: ThreadedAgent, path: str, body: bytes, length: int | None = None, token: str | None = None) -> bytes:
    """A request with a JSON body, which may be shorter than declared."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token or agent.token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


def wait_until_dropped(connection: socket.socket, part: bytes) -> None:
    """Send a chunk repeatedly, until the agent closes the connection."""
    with suppress(ConnectionError):
        until(lambda: connection.sendall(part))


def received(connection: socket.socket) -> bytes:
    """All data until the agent closes the connection in any way."""
    content = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            content += part
    return content


def status_of(connection: socket.socket) -> int:
    """The status of a response, which is read to its end."""
    with closing(HTTPResponse(connection)) as response:
        response.begin()
        response.read()
        return response.status


@pytest.mark.contract
def test_other_names_are_refused(agent: ThreadedAgent) -> None:
    """A request with another host name is 400 on every path, and cross-origin requests are denied."""
    for path in ("/health/", "/plugin_releases/", "/docs", "/openapi.json", "/nosuch"):
        for host in ("evil.example", "localhost.evil.example:8600", "127.0.0.1.evil.example", ""):
            response = httpx.get(f"{agent.url}{path}", headers={"Host": host, "Authorization": agent.token})
            assert response.status_code == 400, (path, host)
            assert "--allowed-host" in detail(response)
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for method, expected in (("OPTIONS", 405), ("GET", 200)):
        status, answered, _ = raw_request(agent, method, "/plugin_releases/", headers)
        assert status == expected
        assert not [name for name in answered if name.startswith("access-control-")]


def test_names_of_an_agent() -> None:
    """An agent accepts loopback's names, its address, and the allowed hosts, in any case and with any port."""
    for header in ("127.0.0.1", "LocalHost:1", "[::1]:8600"):
        assert is_allowed(header, LOOPBACK), header
    for header in ("", "[", 'a b"', "localhost:99999999", "user:secret@localhost", "127.0.0.1?y#z", "127.0.0.1/", "\\"):
        assert not is_allowed(header, LOOPBACK), header
    hosts: list[tuple[str, list[str], set[str]]] = [
        ("localhost", [], set()),
        ("127.8.8.8", [], {"127.8.8.8"}),
        ("192.0.2.7", ["A.Example"], {"192.0.2.7", "a.example"}),
        (EVERYWHERE, ["a.example"], {"a.example"}),
        ("::", ["[2001:db8::1]"], {"2001:db8::1"}),
    ]
    for host, further, expected in hosts:
        assert allowed(host, further, has_token=True) == LOOPBACK | expected, host


def test_listening_beyond_this_machine_needs_a_token_and_a_name(registry: Path, tmp_path: Path) -> None:
    """If other machines can reach the agent, it needs a token from the user, and on all addresses a host name."""
    for host in (EVERYWHERE, "::", "192.0.2.7", "agent.example", ""):
        with pytest.raises(HostError, match="choose a token"):
            allowed(host, ["agent.example"], has_token=False)
        if host not in {"192.0.2.7", "agent.example"}:
            with pytest.raises(HostError, match="--allowed-host"):
                allowed(host, [], has_token=True)
    with pytest.raises(HostError):
        ThreadedAgent(registry, data=tmp_path / "data", host=EVERYWHERE).start()
    assert not (tmp_path / "data").exists()


def test_slow_requests_are_given_up(agent: ThreadedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not finish its headers or body is dropped, silent or steady, at any request."""
    with connect(agent) as further:
        further.sendall(HEALTH + b"\r\n")
        assert status_of(further) == 200
        monkeypatch.setattr(PatientProtocol, "header_seconds", MOMENT)
        further.sendall(b"GET /health/ HT")
        assert received(further) == b""
        with connect(agent) as silent:
            assert received(silent) == b""
        with connect(agent) as slow:
            wait_until_dropped(slow, b"x: y\r\n")
    monkeypatch.undo()
    monkeypatch.setattr(PatientProtocol, "body_seconds", MOMENT)
    with connect(agent) as connection:
        connection.sendall(post(agent, "/plugin_releases/", b"", 100_000))
        wait_until_dropped(connection, b" ")


def test_patience_is_for_clients_not_for_actions(agent: ThreadedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long action is not cut off, and a reused connection is not dropped in between."""
    modules = {"m": f"import time\ndef run(params): time.sleep({4 * MOMENT})"}
    body = {"action": "run", "config": {"actions": {"run": {"entrypoint": "m:run"}}}, "modules": modules}
    with connect(agent) as connection:
        connection.sendall(HEALTH + b"\r\n")
        assert status_of(connection) == 200
        for name in ("header_seconds", "body_seconds", "linger_seconds"):
            monkeypatch.setattr(PatientProtocol, name, MOMENT)
        connection.sendall(post(agent, "/plugin_releases/run_debug/", json.dumps(body).encode()))
        assert status_of(connection) == 200
        time.sleep(MOMENT)
        connection.sendall(HEALTH + b"Connection: close\r\n\r\n")
        assert status_of(connection) == 200


def test_refusal_arrives_before_the_body_is_sent(agent: ThreadedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected or malformed request gets its response at once; the rest of its body is discarded for a while."""
    for token, status in (("wrong", 401), (None, 413)):
        with connect(agent) as connection:
            connection.sendall(post(agent, "/plugin_releases/", b" " * 2**20, app.MAX_BODY_BYTES + 1, token))
            assert status_of(connection) == status
            with monkeypatch.context() as patch:
                patch.setattr(PatientProtocol, "linger_seconds", MOMENT)
                wait_until_dropped(connection, b" " * 1000)
    with connect(agent) as connection:  # it stays open if the whole body arrives
        connection.sendall(post(agent, "/plugin_releases/", b" " * 300_000, token="wrong"))
        connection.sendall(HEALTH + b"Connection: close\r\n\r\n")
        assert re.findall(rb"HTTP/1.1 (\d+)", received(connection)) == [b"401", b"200"]
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: dZ=\r\n\r\n", b"\x00\xff\r\n\r\n"):
        with connect(agent) as connection:
            connection.sendall(request)
            head, _, body = received(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/json" in head.lower()
        assert json.loads(body).keys() == {"detail"}


def test_access_log(agent: ThreadedAgent, http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Each request is a log line: method, path, status, milliseconds and job id, without query and token."""
    caplog.set_level(logging.INFO, "synapse_local_agent")
    http.get("/health/")
    http.get("/plugin_releases/?plugin=secret-query")
    run_source(http, "def run(params): return 1", job_id='nightly\n"7"')
    http.get("/plugin_releases/", headers={"Authorization": "secret-other"})
    until(lambda: len(caplog.messages) == 4)
    assert [re.sub(r"\d+\.\d ms", "0.1 ms", message) for message in caplog.messages] == [
        "GET /health/ 200 0.1 ms",
        "GET /plugin_releases/ 200 0.1 ms",
        r'POST /plugin_releases/run_debug/ 200 0.1 ms job "nightly\n\"7\""',
        "GET /plugin_releases/ 401 0.1 ms",
    ]
    assert agent.token not in caplog.text
