"""Servers and surroundings that are odd, each of which some client has been caught by."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import AgentClient, RetryPolicy

from tests.wire.faults import RELEASE, hang_up, head, page, raw, reply
from tests.wire.proxy import Proxy

if TYPE_CHECKING:
    from tests.wire.conftest import OpenClient, OpenServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)


def test_a_request_leaves_as_one(open_client: OpenClient) -> None:
    """A server that reads once has seen the whole of a small request, its body included."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(30):
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(65536))
                    raw(head(200, {"Content-Length": "6", "Connection": "close"}) + b'"done"')(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        client = open_client(f"http://127.0.0.1:{listener.getsockname()[1]}")
        for _ in range(30):
            assert client.run_plugin_release(7, "train", {"epochs": 1}) == "done"
        thread.join()
    assert all(request.endswith(b'"params":{"epochs":1}}') for request in seen)


def test_a_slow_upload_ends_with_the_total_time(open_client: OpenClient, open_server: OpenServer) -> None:
    """A server that reads slowly, so that no single write is late, ends in a timeout after the total time."""

    def slowly(connection: socket.socket) -> bool:
        while connection.recv(256 * 1024):
            time.sleep(0.02)
        return False

    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError):
        open_client(open_server(on_accept=[slowly]).url).run_plugin_release(
            7, "train", {"text": "x" * 60_000_000}, timeout=0.4
        )
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("timeout", [0.1, {"connect": 0.1, "read": 0.1}])
def test_short_timeouts_do_not_shorten_the_wait_for_a_restart(open_client: OpenClient, timeout: Any) -> None:
    """An agent that restarts is waited for as long as the policy says, however short the timeouts are."""
    policy = RetryPolicy(reconnect=0.6)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        client = open_client(f"http://127.0.0.1:{reserved.getsockname()[1]}", timeout=timeout, retry=policy)
        for method, arguments in (("get_plugin_release", (7,)), ("run_plugin_release", (7, "train"))):
            started = time.monotonic()
            with pytest.raises(exceptions.ClientConnectionError):
                getattr(client, method)(*arguments)
            assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize("status", [200, 500])
def test_a_page_that_repeats_the_token_does_not_show_it(
    open_client: OpenClient, open_server: OpenServer, status: int
) -> None:
    """An agent or a proxy that repeats the request in its answer puts no secret into an error."""
    server = open_server(
        raw(head(status, {"Content-Length": "60", "X-Echo": "agent-token"}) + b"<html>agent-token user-token".ljust(60))
    )
    with pytest.raises(exceptions.ClientError) as caught:
        open_client(server.url, user_token="user-token").get_plugin_release(7)
    shown = f"{caught.value!s} {caught.value!r} {caught.value.detail} {dict(caught.value.headers)}"
    assert "agent-token" not in shown
    assert "user-token" not in shown
    assert b"agent-token" not in pickle.dumps(caught.value)


@pytest.mark.parametrize("link", ["http://xn--/?page=2", "http://[::1", "http://a b/"])
def test_links_that_are_no_urls_are_errors(open_client: OpenClient, open_server: OpenServer, link: str) -> None:
    """A link or a redirect to what only looks like a URL ends in an error of the SDK."""
    with pytest.raises(exceptions.ClientError):
        open_client(open_server(reply(page([RELEASE], 2, link))).url).list_plugin_releases(list_all=True)
    with pytest.raises(exceptions.ClientError):
        open_client(open_server(reply({}, 302, {"Location": link})).url).get_plugin_release(7)


@pytest.mark.parametrize("url", ["http://xn--/", "http://..", "http://a b", "http://h%00", f"http://{'a' * 64}/"])
def test_hosts_that_are_none_are_refused(url: str) -> None:
    """A host that no name can have is refused when the client is made."""
    with pytest.raises(ValueError, match="base_url"):
        AgentClient(url, "agent-token")


@pytest.mark.parametrize(
    "arguments",
    [{"lookup": "a@" + "1" * 100_000}, {"params": {"q": "x" * 100_000}}, {"params": {"q": "\ud800"}}],
    ids=["long lookup", "long filter", "lone surrogate"],
)
def test_arguments_that_make_no_url_are_refused(
    open_client: OpenClient, open_server: OpenServer, arguments: dict[str, Any]
) -> None:
    """Arguments that no URL can carry are refused before anything is sent."""
    server = open_server()
    client = open_client(server.url)
    call = client.get_plugin_release if "lookup" in arguments else client.list_plugin_releases
    with pytest.raises(ValueError, match=r"URL|surrogate"):
        call(**arguments)
    assert server.connections == 0


@pytest.mark.parametrize("link", [{}, [], 0, False])
def test_a_link_that_is_nothing_and_no_null_is_an_error(
    open_client: OpenClient, open_server: OpenServer, link: Any
) -> None:
    """Only null, or an empty text, says that a page is the last."""
    server = open_server(reply({"count": 1, "next": link, "results": [RELEASE]}))
    with pytest.raises(exceptions.PaginationError, match="no text"):
        open_client(server.url).list_plugin_releases(list_all=True)


def test_a_cursor_of_bytes_stays_as_it_is(open_client: OpenClient, open_server: OpenServer) -> None:
    """A cursor that is no text once it is decoded comes back byte for byte."""
    server = open_server(reply(page([RELEASE], 2, "?cursor=%FF%00%fe&x=a+b")), reply(page([RELEASE], 2)))
    open_client(server.url).list_plugin_releases({"plugin": "ocr"}, list_all=True)
    assert server.requests[1].target.endswith("?page_size=100&plugin=ocr&cursor=%FF%00%fe&x=a+b")


def test_no_proxy_may_name_an_ipv6_address(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch, open_server: OpenServer
) -> None:
    """An address of IPv6 in NO_PROXY is reached directly."""
    with Proxy() as proxy, socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "::1")

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                raw(head(200, {"Content-Length": "2"}) + b"{}")(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        client = open_client(f"http://[::1]:{listener.getsockname()[1]}", trust_env=True)
        assert client.get_plugin_release(7) == {}
        thread.join()
        assert proxy.asked == []


def test_an_attempt_without_an_answer_is_a_line_too(
    open_client: OpenClient, open_server: OpenServer, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG an attempt that ends without an answer has its line as well."""
    caplog.set_level(logging.DEBUG, logger="synapse_sdk")
    with pytest.raises(exceptions.ClientResponseIncompleteError):
        open_client(open_server(hang_up).url).run_plugin_release(7, "train")
    assert any("ProtocolError in" in record.getMessage() for record in caplog.records)


def test_a_key_may_be_a_uuid(open_client: OpenClient, open_server: OpenServer) -> None:
    """An idempotency key may be a UUID as Python has it."""
    server = open_server(reply("done"))
    key = uuid.uuid4()
    open_client(server.url).run_plugin_release(7, "train", idempotency_key=key)
    assert server.requests[0].headers["idempotency-key"] == str(key)


def test_messages_cannot_forge_lines_of_a_terminal(open_client: OpenClient, open_server: OpenServer) -> None:
    """Control characters of an answer, and a job id of any length, do not get into a message."""
    server = open_server(reply({"detail": "a\x1b[2Jb\rc"}, 500), hang_up)
    client = open_client(server.url)
    with pytest.raises(exceptions.ServerError) as caught:
        client.get_plugin_release(7)
    assert "\x1b" not in str(caught.value)
    assert caught.value.detail == "a\x1b[2Jb\rc"
    with pytest.raises(exceptions.ClientResponseIncompleteError) as broken:
        client.run_plugin_release(7, data={"action": "train", "job_id": "j" * 1_000_000})
    assert len(str(broken.value)) < 1000


def test_headers_of_an_error_are_found_in_any_case(open_client: OpenClient, open_server: OpenServer) -> None:
    """The headers of an error are found whatever the case of their names."""
    server = open_server(reply({"detail": "no"}, 404, {"X-Request-ID": "r-1"}))
    with pytest.raises(exceptions.NotFoundError) as caught:
        open_client(server.url).get_plugin_release(7)
    assert caught.value.headers["X-Request-ID"] == caught.value.headers["x-request-id"] == "r-1"
    assert pickle.loads(pickle.dumps(caught.value)).headers["X-Request-Id"] == "r-1"  # noqa: S301 - our own
