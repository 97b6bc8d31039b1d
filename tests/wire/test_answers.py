"""Responses: how they become a value or an error."""

from __future__ import annotations

import gzip
import json
import pickle
import threading
import time
import zlib
from datetime import timedelta

import pytest
from synapse_agent_sdk import RawResponse, exceptions

from tests.wire.conftest import Serve, sync_only
from tests.wire.faults import (
    CALLS,
    FAST,
    RELEASE,
    RUNS,
    Answer,
    body,
    drip,
    hang_up,
    head,
    page,
    raw,
    reply,
    reset,
    then,
)

pytestmark = pytest.mark.contract

PLAIN = json.dumps(RELEASE).encode()


def test_a_success_that_is_not_json_is_an_error(serve: Serve) -> None:
    """A 2xx response with invalid JSON, or not an object where one is expected, raises `InvalidResponseError`."""
    content = b"<html><body>Please log in</body></html>" + b" " * 5000
    for name, arguments in CALLS.items():
        if name == "delete_plugin_release":
            assert serve(body(content))[1].delete_plugin_release(7) is None
        else:
            server, client = serve(body(content), retry=FAST)
            with pytest.raises(exceptions.InvalidResponseError, match="<html><body>Please log in") as caught:
                getattr(client, name)(*arguments)
            assert (caught.value.status_code, len(server.requests)) == (200, 1)
            assert len(str(caught.value)) < 1000
            if name not in RUNS:
                server.answers[:] = [reply([RELEASE])]
                with pytest.raises(exceptions.InvalidResponseError, match="expected dict, got list"):
                    getattr(client, name)(*arguments)


LARGE: dict[str, Answer] = {
    "length": body(b"x" * 2000),
    "chunked": raw(head(200, {"Transfer-Encoding": "chunked"}) + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 2),
    "until closed": raw(head(200, {}) + b"x" * 2000),
    "without an end": drip(b" ", start=head(200, {}) + b" " * 2000),
    "gzip": body(gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"}),
    "deflate": body(zlib.compress(b"x" * 1_000_000), headers={"Content-Encoding": "deflate"}),
}


def test_an_answer_that_is_too_large_is_refused(serve: Serve) -> None:
    """A response larger than `max_response_bytes` after decompression is rejected while it is being read."""
    for form, answer in LARGE.items():
        server, client = serve(answer, max_response_bytes=1000, retry=FAST)
        with pytest.raises(exceptions.ResponseTooLargeError, match="max_response_bytes=1000"):
            client.get_plugin_release(7)
        assert len(server.requests) == 1, form


ERRORS: dict[str, Answer] = {
    "cut": raw(head(401, {"Content-Length": "100"}) + b'{"detail": "no'),
    "reset": then(raw(head(401, {"Content-Length": "100"}) + b'{"detail": "no', keep=True), reset),
    "too large": body(b"x" * 5000, 401),
    "endless": drip(b" ", start=head(401, {}) + b" " * 5000),
    "not gzip": body(b"not gzip", 401, {"Content-Encoding": "gzip"}),
    "cut gzip": body(gzip.compress(b'{"detail": "no"}')[:12], 401, {"Content-Encoding": "gzip"}),
    "two codings": body(b"?", 401, {"Content-Encoding": "gzip, gzip"}),
    "odd charset": body(b"<html>", 401, {"Content-Type": "text/html; charset*=utf-8''a%00"}),
}


def test_an_error_is_one_whatever_its_body(serve: Serve) -> None:
    """An error response raises the error for its status even if its body is broken, oversized or endless."""
    for fault, answer in ERRORS.items():
        server, client = serve(answer, max_response_bytes=1000)
        with pytest.raises(exceptions.AuthenticationError) as caught:
            client.run_plugin_release(7, "train")
        assert (caught.value.status_code, len(server.requests)) == (401, 1), fault
        assert "may be running" not in str(caught.value), fault


@sync_only
def test_a_result_that_does_not_decompress_whole_is_an_error(serve: Serve) -> None:
    """A truncated, corrupt or unsupported compressed response raises `InvalidResponseError`."""
    damaged = [
        (gzip.compress(b"123456789", 0)[:18], "gzip"),
        (zlib.compress(b"123456789")[:-5], "deflate"),
        (gzip.compress(gzip.compress(b"1")), "gzip, gzip"),
        (b"1", "br"),
        (b"not gzip", "gzip"),
    ]
    for content, coding in damaged:
        server, client = serve(body(content, headers={"Content-Encoding": coding}), retry=FAST)
        for name in RUNS:
            with pytest.raises(exceptions.InvalidResponseError):
                getattr(client, name)(*CALLS[name])
        assert len(server.requests) == len(RUNS)


def test_compressed_answers_are_read(serve: Serve) -> None:
    """The client accepts gzip and deflate, and decompresses both."""
    raw_deflate = zlib.compress(PLAIN, wbits=-zlib.MAX_WBITS)
    for packed, coding in ((gzip.compress(PLAIN), "gzip"), (zlib.compress(PLAIN), "deflate"), (raw_deflate, "deflate")):
        server, client = serve(body(packed, headers={"Content-Encoding": coding}))
        assert client.get_plugin_release(7) == RELEASE
        assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


TOKEN = "agent-token-that-is-secret"
LATE = then(lambda _: not threading.Event().wait(0.03))


def test_a_raw_response_is_the_answer(serve: Serve) -> None:
    """A raw response has the status, headers, body and request id; each `parse()` returns a fresh value."""
    server, client = serve(reply(RELEASE, 201, {"X-Request-ID": "r-1", "X-Other": "1"}))
    response = client.with_raw_response.create_plugin_release("ocr_plugin", "2.0.0")
    assert isinstance(response, RawResponse)
    assert (response.status_code, response.attempts, response.request_id) == (201, 1, "r-1")
    assert (response.headers["x-other"], response.headers["X-OTHER"]) == ("1", "1")
    sent = b' {"id": 7.0, "id":\t7}' + b" " * 5000 + b"\r\n"
    server.answers[:] = [body(sent)]
    response = client.with_raw_response.get_plugin_release(7)
    response.parse()["version"] = "changed"
    assert (response.content, response.parse()) == (sent, {"id": 7})


def test_attempts_are_counted(serve: Serve) -> None:
    """`attempts` counts retries but not redirects, and `elapsed` covers the whole call."""
    redirect = reply(None, 307, {"Location": "/plugin_releases/7/"})
    server, client = serve(then(LATE, reply({}, 503)), hang_up, redirect, then(LATE, reply(RELEASE)), retry=FAST)
    begun = time.monotonic()
    response = client.with_raw_response.get_plugin_release(7)
    assert timedelta(seconds=0.06) <= response.elapsed <= timedelta(seconds=time.monotonic() - begun)
    assert (response.attempts, response.status_code, len(server.requests)) == (3, 200, 4)
    _, client = serve(hang_up, reply({"detail": "gone"}, 404), retry=FAST)
    response = client.with_raw_response.delete_plugin_release(7)
    assert (response.status_code, response.attempts, response.parse()) == (204, 2, None)


@sync_only
def test_a_body_that_is_not_promised_can_be_looked_at(serve: Serve) -> None:
    """A raw response exposes a body that violates the contract; only `parse()` raises."""
    _, client = serve(reply({}, 503), reply(["no", "release"], 200, {"X-Request-ID": "r-1"}), retry=FAST)
    response = client.with_raw_response.get_plugin_release(7)
    assert (response.status_code, response.content) == (200, b'["no", "release"]')
    with pytest.raises(exceptions.InvalidResponseError, match="expected dict, got list") as caught:
        response.parse()
    assert (caught.value.status_code, caught.value.request_id, caught.value.attempts) == (200, "r-1", 2)


def test_what_fails_is_raised_as_ever(serve: Serve) -> None:
    """Raw calls raise the same errors as normal calls, and reject `list_all=True` and invalid arguments."""
    server, client = serve(reply({"detail": "down"}, 503, {"X-Request-ID": "r-1"}), retry=FAST)
    responses = client.with_raw_response
    with pytest.raises(exceptions.ServerError) as caught:
        responses.get_plugin_release(7)
    assert (caught.value.status_code, caught.value.request_id, caught.value.attempts) == (503, "r-1", 3)
    with pytest.raises(ValueError, match="invalid release"):
        responses.get_plugin_release("..")
    with pytest.raises(TypeError, match="cannot list all pages"):
        responses.list_plugin_releases(list_all=True)
    assert len(server.requests) == 3
    server.answers[:] = [reply(page([RELEASE], 3, "?page=2"))]
    assert responses.list_plugin_releases({"page": 1}).parse() == page([RELEASE], 3, "?page=2")


@sync_only
def test_a_raw_response_shows_no_secret(serve: Serve) -> None:
    """Raw responses and error headers never show a token, even if the agent echoes it."""
    echo = reply(RELEASE, 200, {"X-Echo": f"you sent {TOKEN}"})
    server, client = serve(echo, agent_token=TOKEN, user_token="user-secret", tenant="tenant-secret")
    response = client.with_raw_response.get_plugin_release(7)
    shown = f"{response!r} {response} {dict(response.headers)} {response.headers!r}"
    assert "secret" not in shown.replace("(secret)", "")
    assert response.headers["x-echo"] == "you sent (secret)"
    assert repr(response) == f"<RawResponse GET {server.url}/plugin_releases/7 -> 200, attempts=1>"
    server.answers[:] = [body(b"<html>", 500, {"X-Echo": f"you sent {TOKEN}"})]
    with pytest.raises(exceptions.ServerError) as caught:
        client.get_plugin_release(7)
    assert caught.value.headers["x-echo"] == "you sent (secret)"
    assert TOKEN.encode() not in pickle.dumps(caught.value)
    server.answers[:] = [reply({})]
    assert "hidden" not in repr(client.with_raw_response.list_plugin_releases({"password": "hidden"}))
