"""Responses become values or errors."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import answers, operations
from synapse_sdk.clients.agent.operations import Call

from tests.unit.helpers import refusal

URL = "http://agent:8600/plugin_releases/7"
GET: Call[Any] = operations.get_plugin_release(7)
DELETE: Call[Any] = operations.delete_plugin_release(7)
RUN: Call[Any] = Call("POST", URL, object, is_run=True)
LONGEST = 3_000
"""What a message must not exceed."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["detail", "error_type", "msg", "loc"]), inner)
    ),
    max_leaves=12,
)


def answer(content: bytes | str, status: int = 200, url: str = URL, **headers: str) -> httpx.Response:
    """A response as the transport gives it."""
    request = httpx.Request("GET", url)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers=named, request=request)


def fail(body: Any, status: int = 500) -> exceptions.HTTPError:
    """The error of an answer with JSON."""
    return answers.error(GET, answer(json.dumps(body), status))


STATUSES = {
    **dict.fromkeys([300, 304, 399, 402, 405, 408, 418, 499, 600, 999], exceptions.HTTPError),
    **dict.fromkeys([500, 501, 502, 503, 504, 599], exceptions.ServerError),
    400: exceptions.ValidationError,
    401: exceptions.AuthenticationError,
    403: exceptions.AuthorizationError,
    404: exceptions.NotFoundError,
    409: exceptions.ConflictError,
    422: exceptions.ValidationError,
    429: exceptions.RateLimitError,
}


def test_each_status_has_its_class() -> None:
    """The class of an error follows from its status, known or not."""
    assert {status: type(fail({"detail": "told"}, status)) for status in STATUSES} == STATUSES


MESSAGES: dict[str, Any] = {
    "no such release": "no such release",
    "(no detail)": "  \n",
    "null": None,
    "first; second": ["first", "second"],
    "body.items.3: too small; query.page: not a number": [
        {"loc": ["body", "items", 3], "msg": "too small", "type": "range"},
        {"loc": ["query", "page"], "msg": "not a number"},
    ],
    "unplaced; misplaced": [{"loc": [], "msg": "unplaced"}, {"loc": "body", "msg": "misplaced"}],
    '[1].null: {"a": [1]}': [{"loc": [[1], None], "msg": {"a": [1]}}],
    '{"type": "missing"}': [{"type": "missing"}],
    "said so": {"message": "said so", "code": 7},
    '{"message": 5}': {"message": 5},
    '{"코드": "값"}': {"코드": "값"},
}


def test_a_message_is_made_for_people() -> None:
    """A detail of any shape is shown as a person would write it, lists of problems with their places."""
    for message, detail in MESSAGES.items():
        assert str(fail({"detail": detail}, 422)) == f"GET {URL} -> 422: {message}"


@pytest.mark.parametrize("error_type", ["action_failed", "action_of_tomorrow"])
@pytest.mark.parametrize("status", [422, 503])
def test_a_failed_action_is_told_from_a_failed_agent(error_type: str, status: int) -> None:
    """An error_type that begins with action_, beside the detail or within, makes an ActionFailedError."""
    for body in ({"detail": "x", "error_type": error_type}, {"detail": {"error_type": error_type}}):
        error = fail(body, status)
        assert type(error) is exceptions.ActionFailedError
        assert (error.status_code, error.error_type, error.detail) == (status, error_type, body["detail"])
        assert f"[{error_type}]" in str(error)


def test_no_gpu_is_told_from_other_failures() -> None:
    """A 503 with gpu_unavailable, beside the detail or within, is a GpuUnavailableError."""
    for body in ({"error_type": "gpu_unavailable"}, {"detail": {"error_type": "gpu_unavailable"}}):
        assert type(fail(body, 503)) is exceptions.GpuUnavailableError
        assert type(fail(body, 409)) is exceptions.ConflictError


def test_the_error_type_is_the_text_beside_the_detail() -> None:
    """Where two are given, the contract's place counts; one that is no text counts for nothing."""
    error = fail({"detail": {"error_type": "action_failed"}, "error_type": "gpu_unavailable"}, 503)
    assert error.error_type == "gpu_unavailable"
    for error_type in (5, None, ["action_failed"]):
        error = fail({"detail": "x", "error_type": error_type})
        assert (type(error), error.error_type) == (exceptions.ServerError, None)


def test_a_body_that_is_no_json_is_its_text() -> None:
    """The page of a proxy, or nothing, is the detail as text."""
    for content in (b"", b"<html><h1>502 Bad Gateway</h1></html>", b"bad \xff\xfe", b'{"detail": "cut', b"9" * 5000):
        error = answers.error(GET, answer(content, 502))
        assert error.detail == content.decode("utf-8", "replace")
        assert len(str(error)) < LONGEST


def test_any_charset_is_read() -> None:
    """Text is decoded as its charset says; one that is wrong, or none at all, costs at most some letters."""
    assert answers.error(GET, answer(b"caf\xe9", 500, content_type="text/plain; charset=latin-1")).detail == "café"
    for charset in ("utf-16", "hex", "zip", "rot13", "idna", "undefined", "nonsense", '"', "", "a b"):
        content_type = f"text/html; charset={charset}"
        detail = answers.error(GET, answer(b"<p>\xe9\xff</p>", 500, content_type=content_type)).detail
        assert isinstance(detail, str)
        assert detail
        refusal(exceptions.InvalidResponseError, answers.read, GET, answer(b"<p>\xff</p>", content_type=content_type))


HUGE: dict[str, Any] = {
    "text": "x" * 2**20,
    "list": ["x" * 100] * 10_000,
    "issues": [{"loc": ["body"] * 1000, "msg": "m" * 1000}] * 1000,
    "object": {"message": "x" * 2**20},
    "keys": {str(number): number for number in range(10_000)},
}


@pytest.mark.parametrize("shape", HUGE)
def test_messages_are_bounded(shape: str) -> None:
    """A detail of megabytes makes a message of a page, and stays whole as the detail."""
    error = fail({"detail": HUGE[shape]}, 422)
    assert len(str(error)) < LONGEST
    assert error.detail == HUGE[shape]


def test_other_parts_of_a_message_are_bounded_too() -> None:
    """An endless URL or error_type makes no endless message."""
    body = json.dumps({"detail": "x", "error_type": "action_" + "y" * 2**20})
    error = answers.error(GET, answer(body, 500, url=URL + "x" * 60_000))
    assert len(str(error)) < LONGEST
    assert len(error.error_type or "") > 2**20


@pytest.mark.parametrize(
    "shape", ['{"detail": %s}', '{"detail": [{"msg": %s}]}', '{"detail": [{"loc": [%s], "msg": "x"}]}', "%s"]
)
def test_nested_bodies_end_in_the_error_that_they_are(shape: str) -> None:
    """An error body that is nested as deep as it likes makes an error of its status."""
    for depth in (100, 500, *range(900, 1000, 2), 100_000):
        error = answers.error(GET, answer(shape % ("[" * depth + "]" * depth), 404))
        assert type(error) is exceptions.NotFoundError
        assert len(str(error)) < LONGEST


def test_a_message_can_be_printed() -> None:
    """Lone surrogates, which break print and log files, are shown as escapes."""
    error = fail({"detail": "\ud800", "error_type": "action_\udfff"})
    assert str(error).encode() == f"GET {URL} -> 500 [action_\\udfff]: \\ud800".encode()
    assert error.detail == "\ud800"


def test_a_query_is_not_shown() -> None:
    """A message names the URL without its query, which may hold secrets."""
    error = answers.error(GET, answer("{}", 500, url=f"{URL}?token=secret"))
    assert str(error).startswith(f"GET {URL}?... -> 500")
    assert "secret" not in str(error)


def test_headers_are_kept_by_names_in_lower_case() -> None:
    """An error has the answer's headers, and the id that the server gave the request."""
    error = answers.error(GET, answer("{}", 500, X_Request_ID="abc", Retry_After="5"))
    assert error.headers["retry-after"] == "5"
    assert error.request_id == "abc"


@settings(max_examples=30)
@given(JSON, st.integers(300, 999))
@example({"detail": None, "other": 1}, 500)
@example({"detail": ""}, 404)
@example({}, 500)
def test_any_body_makes_an_error(body: Any, status: int) -> None:
    """An error's detail is the body's, or the whole body, untouched; the error is bounded, prints, pickles, copies."""
    error = fail(body, status)
    assert error.detail == (body["detail"] if isinstance(body, dict) and "detail" in body else body)
    assert error.status_code == status
    assert len(str(error).encode()) < 4 * LONGEST
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == str(error)  # noqa: S301 - made here


@settings(max_examples=50)
@given(
    st.binary(),
    st.sampled_from([200, 201, 299, 301, 404, 500]),
    st.text(st.characters(max_codepoint=126, min_codepoint=32)),
)
def test_any_bytes_are_a_value_or_an_error(content: bytes, status: int, charset: str) -> None:
    """Whatever comes, it is the promised value or an error of the SDK."""
    response = answer(content, status, content_type=f"text/plain; charset={charset}")
    try:
        value = answers.read(GET, response)
    except exceptions.ClientError as error:
        shown = str(error)
        assert f" -> {status}" in shown
        assert len(shown) < LONGEST
    else:
        assert isinstance(value, dict)


@settings(max_examples=30)
@given(JSON)
def test_a_result_is_untouched(value: Any) -> None:
    """The result of a run is any JSON value, just as it was sent."""
    assert answers.read(RUN, answer(json.dumps(value))) == value


def test_any_success_carries_its_value() -> None:
    """All of 2xx are successes, and JSON counts as JSON whatever its content type says, with a byte order mark too."""
    for status in (200, 202, 299):
        response = answer(b'\xef\xbb\xbf{"id": "unusual", "more": [1]}', status, content_type="text/plain")
        assert answers.read(GET, response) == {"id": "unusual", "more": [1]}


def test_a_call_without_a_result_gives_none() -> None:
    """Whatever a success of delete carries, the result is None."""
    for status, content in ((200, "{}"), (202, "<html></html>"), (204, "")):
        assert answers.read(DELETE, answer(content, status)) is None


INVALID = {
    "empty": b"",
    "html": b"<html>Log in</html>",
    "cut": b'{"id": 7, "plug',
    "two": b"{}{}",
    "bytes": b"\xff\xfe\x00\x81",
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge int": b'{"id": ' + b"9" * 10_000 + b"}",
    "not a number": b'{"loss": NaN}',
    "infinity": b"[-Infinity]",
}


@pytest.mark.parametrize("name", INVALID)
def test_a_success_that_is_no_json_is_an_error_of_its_own(name: str) -> None:
    """A success whose body is not JSON is an InvalidResponseError with the start of the body."""
    for call in (GET, RUN):
        with pytest.raises(exceptions.InvalidResponseError, match="a body that is not JSON") as caught:
            answers.read(call, answer(INVALID[name]))
        assert caught.value.status_code == 200
        assert caught.value.detail == INVALID[name].decode("utf-8", "replace")[:2000]
        assert len(str(caught.value)) < LONGEST


def test_json_of_another_kind_is_refused() -> None:
    """Where an object belongs, another kind of JSON is an InvalidResponseError that names both."""
    for value in ([], "text", 5, None):
        message = refusal(exceptions.InvalidResponseError, answers.read, GET, answer(json.dumps(value)))
        assert f"{type(value).__name__} where dict belongs" in message
