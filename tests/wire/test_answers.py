"""Answers that are not what the contract promises."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import RetryPolicy

from tests.wire.faults import RELEASE, body, drip, head, raw, reply, reset, then

if TYPE_CHECKING:
    from tests.wire.conftest import OpenClient, OpenServer

FAST = RetryPolicy(backoff=0.001, reconnect=0.05)
NOT_JSON: dict[str, bytes] = {
    "HTML": b"<html><body>Please log in</body></html>",
    "empty": b"",
    "blank": b"  \n",
    "cut": b'{"id": 7, "plug',
    "two values": b"{} {}",
    "no number": b'{"id": NaN}',
    "endless number": b'{"id": -Infinity}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "a number of 10,000 digits": b"9" * 10_000,
    "not UTF-8": b'{"id": "\xff\xfe"}',
    "bytes": bytes(range(256)),
}
PLAIN = json.dumps(RELEASE).encode()
NOT_OBJECTS: dict[str, bytes] = {"list": b"[]", "text": b'"done"', "number": b"1", "null": b"null", "bool": b"true"}


@pytest.mark.parametrize("content", NOT_JSON)
@pytest.mark.parametrize("method", ["get_plugin_release", "run_plugin_release"])
def test_a_success_that_is_not_json_is_an_error(
    open_client: OpenClient, open_server: OpenServer, method: str, content: str
) -> None:
    """A success without JSON, such as a proxy's HTML, is an error of its own with the start of the body."""
    server = open_server(body(NOT_JSON[content]))
    arguments = (7,) if method == "get_plugin_release" else (7, "train")
    with pytest.raises(exceptions.InvalidResponseError) as caught:
        getattr(open_client(server.url, retry=FAST), method)(*arguments)
    assert caught.value.status_code == 200
    assert NOT_JSON[content].decode(errors="replace").startswith(caught.value.detail[:20])
    assert len(str(caught.value)) < 1000
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", NOT_OBJECTS)
def test_a_success_of_another_kind_is_an_error(open_client: OpenClient, open_server: OpenServer, content: str) -> None:
    """Where an object belongs, any other JSON is an error and never handed back."""
    client = open_client(open_server(body(NOT_OBJECTS[content])).url, retry=FAST)
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (client.get_plugin_release, (7,)),
        (client.create_plugin_release, ("ocr", "1")),
        (client.list_plugin_releases, ()),
        (client.health_check, ()),
    ]
    for call, arguments in calls:
        with pytest.raises(exceptions.InvalidResponseError, match="where dict belongs"):
            call(*arguments)
    with pytest.raises(exceptions.InvalidResponseError, match="where dict belongs"):
        client.list_plugin_releases(list_all=True)


@pytest.mark.parametrize("content", NOT_OBJECTS)
def test_a_run_may_return_anything(open_client: OpenClient, open_server: OpenServer, content: str) -> None:
    """The result of a run is any JSON value, as the action returned it."""
    server = open_server(body(NOT_OBJECTS[content]))
    assert open_client(server.url).run_plugin_release(7, "train") == json.loads(NOT_OBJECTS[content])


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_delete_needs_no_body(open_client: OpenClient, open_server: OpenServer, status: int) -> None:
    """Any success deletes, whatever its body."""
    server = open_server(body(b"<html>" if status != 204 else b"", status))
    assert open_client(server.url).delete_plugin_release(7) is None


@pytest.mark.parametrize("status", [299, 226])
def test_other_successes_are_successes(open_client: OpenClient, open_server: OpenServer, status: int) -> None:
    """Any status from 200 to 299 is a success."""
    assert open_client(open_server(reply(RELEASE, status)).url).get_plugin_release(7) == RELEASE


@pytest.mark.parametrize(
    "answer",
    [
        body(b"x" * 2000),
        raw(
            head(200, {"Transfer-Encoding": "chunked"}) + b"400\r\n" + b"x" * 1024 + b"\r\n" + b"400\r\n" + b"x" * 1024
        ),
        raw(head(200, {}) + b"x" * 2000),
        body(gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"}),
        body(zlib.compress(b"x" * 1_000_000), headers={"Content-Encoding": "deflate"}),
    ],
    ids=["length", "chunked", "until closed", "gzip", "deflate"],
)
def test_an_answer_that_is_too_large_is_refused(open_client: OpenClient, open_server: OpenServer, answer: Any) -> None:
    """An answer larger than max_response_bytes, decompressed, is refused while it arrives."""
    server = open_server(answer)
    with pytest.raises(exceptions.ResponseTooLargeError, match="max_response_bytes=1000"):
        open_client(server.url, max_response_bytes=1000, retry=FAST).get_plugin_release(7)
    assert len(server.requests) == 1


ERRORS: dict[str, Any] = {
    "cut": raw(head(401, {"Content-Length": "100"}) + b'{"detail": "no'),
    "reset": then(raw(head(401, {"Content-Length": "100"}) + b'{"detail": "no', keep=True), reset),
    "too large": body(b"x" * 5000, 401),
    "endless": drip(b" ", start=head(401, {}) + b" " * 5000),
    "not gzip": body(b"not gzip", 401, {"Content-Encoding": "gzip"}),
    "cut gzip": body(gzip.compress(b'{"detail": "no"}')[:12], 401, {"Content-Encoding": "gzip"}),
    "two codings": body(b"?", 401, {"Content-Encoding": "gzip, gzip"}),
    "odd charset": body(b"<html>", 401, {"Content-Type": "text/html; charset*=utf-8''a%00"}),
}


@pytest.mark.parametrize("fault", ERRORS)
@pytest.mark.parametrize("method", ["get_plugin_release", "run_plugin_release"])
def test_an_error_is_one_whatever_its_body(
    open_client: OpenClient, open_server: OpenServer, method: str, fault: str
) -> None:
    """The status that arrived counts, whatever became of the body of an error."""
    server = open_server(ERRORS[fault])
    arguments = (7,) if method == "get_plugin_release" else (7, "train")
    with pytest.raises(exceptions.AuthenticationError) as caught:
        getattr(open_client(server.url, max_response_bytes=1000), method)(*arguments)
    assert caught.value.status_code == 401
    assert "may be running" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_429_whose_body_is_cut_is_repeated(open_client: OpenClient, open_server: OpenServer) -> None:
    """A run answered with 429 was not carried out, even where the rest of the answer is missing."""
    server = open_server(raw(head(429, {"Content-Length": "100"}) + b"{"), reply("done"))
    assert open_client(server.url, retry=FAST).run_plugin_release(7, "train") == "done"


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (gzip.compress(b"123456789", 0)[:18], "gzip"),
        (zlib.compress(b"123456789")[:-5], "deflate"),
        (gzip.compress(gzip.compress(b"1")), "gzip, gzip"),
        (b"1", "br"),
    ],
    ids=["cut gzip", "cut deflate", "two codings", "a coding that was not asked for"],
)
def test_a_result_that_does_not_decompress_whole_is_an_error(
    open_client: OpenClient, open_server: OpenServer, content: bytes, coding: str
) -> None:
    """A compressed answer that was cut, or whose coding was not asked for, is never passed off as a result."""
    server = open_server(body(content, headers={"Content-Encoding": coding}))
    with pytest.raises(exceptions.InvalidResponseError):
        open_client(server.url).run_plugin_release(7, "train")


def test_what_one_asked_for_is_told(open_client: OpenClient, open_server: OpenServer) -> None:
    """The client asks for the codings that it can undo within its limit, and for no others."""
    server = open_server()
    open_client(server.url).get_plugin_release(7)
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_an_endless_answer_is_refused_while_it_arrives(open_client: OpenClient, open_server: OpenServer) -> None:
    """An answer without an end is refused at the limit, long before the total time."""
    server = open_server(drip(b" ", start=head(200, {}) + b" " * 2000))
    with pytest.raises(exceptions.ResponseTooLargeError):
        open_client(server.url, max_response_bytes=1000).get_plugin_release(7)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN)),
        ("deflate", zlib.compress(PLAIN, wbits=-zlib.MAX_WBITS)),
    ],
    ids=["gzip", "deflate", "deflate without the wrapper of zlib"],
)
def test_compressed_answers_are_read(
    open_client: OpenClient, open_server: OpenServer, coding: str, packed: bytes
) -> None:
    """Compressed answers are decompressed."""
    server = open_server(body(packed, headers={"Content-Encoding": coding}))
    assert open_client(server.url).get_plugin_release(7) == RELEASE


def test_an_answer_that_does_not_decompress_is_an_error(open_client: OpenClient, open_server: OpenServer) -> None:
    """An answer that says that it is compressed, and is not, is an invalid one."""
    server = open_server(body(b"not gzip", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(exceptions.InvalidResponseError):
        open_client(server.url, retry=FAST).run_plugin_release(7, "train")
    assert len(server.requests) == 1


def test_results_are_untouched(open_client: OpenClient, open_server: OpenServer) -> None:
    """Fields that nobody knows, dates and odd values come back as they were sent."""
    odd = {**RELEASE, "created": "soon", "actions": {"a": None}, "\u00e9\U0001f600": [1.0, 1e300, 2**70, {"": []}]}
    assert open_client(open_server(reply(odd)).url).get_plugin_release(7) == odd


def test_missing_fields_are_no_matter(open_client: OpenClient, open_server: OpenServer) -> None:
    """Only the kind of JSON is checked, never its fields: agents differ."""
    assert open_client(open_server(reply({})).url).get_plugin_release(7) == {}
