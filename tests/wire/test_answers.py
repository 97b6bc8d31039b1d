"""Answers that are not what the contract promises."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions

from tests.wire.conftest import sync_only
from tests.wire.faults import CALLS, FAST, RELEASE, RUNS, body, drip, head, raw, reply, reset, then

if TYPE_CHECKING:
    from synapse_sdk.testing.server import Answer

    from tests.wire.conftest import Serve

pytestmark = pytest.mark.contract

PLAIN = json.dumps(RELEASE).encode()


def test_a_success_that_is_not_json_is_an_error(serve: Serve) -> None:
    """A success that is no JSON, or no object where one belongs, is an error with the start of the body."""
    content = b"<html><body>Please log in</body></html>" + b" " * 5000
    for name, arguments in CALLS.items():
        if name != "delete_plugin_release":
            server, client = serve(body(content), retry=FAST)
            with pytest.raises(exceptions.InvalidResponseError, match="<html><body>Please log in") as caught:
                getattr(client, name)(*arguments)
            assert (caught.value.status_code, len(server.requests)) == (200, 1)
            assert len(str(caught.value)) < 1000
            if name not in RUNS:
                server.answers[:] = [reply([RELEASE])]
                with pytest.raises(exceptions.InvalidResponseError, match="list where dict belongs"):
                    getattr(client, name)(*arguments)


@sync_only
def test_a_delete_needs_no_body(serve: Serve) -> None:
    """Any success deletes, whatever its body."""
    _, client = serve(body(b"<html>"), reply(RELEASE, 202), body(b"", 204))
    assert [client.delete_plugin_release(7) for _ in range(3)] == [None] * 3


LARGE: dict[str, Answer] = {
    "length": body(b"x" * 2000),
    "chunked": raw(head(200, {"Transfer-Encoding": "chunked"}) + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 2),
    "until closed": raw(head(200, {}) + b"x" * 2000),
    "without an end": drip(b" ", start=head(200, {}) + b" " * 2000),
    "gzip": body(gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"}),
    "deflate": body(zlib.compress(b"x" * 1_000_000), headers={"Content-Encoding": "deflate"}),
}


def test_an_answer_that_is_too_large_is_refused(serve: Serve) -> None:
    """An answer larger than max_response_bytes, decompressed, is refused while it arrives."""
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
    """The status that arrived counts, whatever became of the body of an error."""
    for fault, answer in ERRORS.items():
        server, client = serve(answer, max_response_bytes=1000)
        with pytest.raises(exceptions.AuthenticationError) as caught:
            client.run_plugin_release(7, "train")
        assert (caught.value.status_code, len(server.requests)) == (401, 1), fault
        assert "may be running" not in str(caught.value), fault


@sync_only
def test_a_result_that_does_not_decompress_whole_is_an_error(serve: Serve) -> None:
    """A compressed answer that was cut, is none, or whose coding was not asked for, is never taken for a result."""
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
    """The client asks for the codings that it can undo within its limit, and decompresses what comes in them."""
    packed: list[tuple[str, Any]] = [
        ("gzip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN, wbits=-zlib.MAX_WBITS)),
    ]
    for coding, content in packed:
        server, client = serve(body(content, headers={"Content-Encoding": coding}))
        assert client.get_plugin_release(7) == RELEASE
        assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"
