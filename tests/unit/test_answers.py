"""Responses become values or errors."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import answers, operations
from synapse_sdk.clients.agent.operations import Call

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
    **dict.fromkeys([300, 301, 304, 399, 402, 405, 406, 408, 410, 413, 415, 418, 451, 499], exceptions.HTTPError),
    **dict.fromkeys([500, 501, 502, 503, 504, 507, 511, 520, 599], exceptions.ServerError),
    **dict.fromkeys([600, 700, 999], exceptions.HTTPError),
    400: exceptions.ValidationError,
    401: exceptions.AuthenticationError,
    403: exceptions.AuthorizationError,
    404: exceptions.NotFoundError,
    409: exceptions.ConflictError,
    422: exceptions.ValidationError,
    429: exceptions.RateLimitError,
}


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_each_status_has_its_class(status: int, kind: type[Exception]) -> None:
    """The class of an error follows from its status, known or not."""
    error = fail({"detail": "told"}, status)
    assert type(error) is kind
    assert (error.status_code, error.detail) == (status, "told")


@pytest.mark.parametrize(
    "detail",
    [
        "text",
        "",
        None,
        5,
        1.5,
        True,
        [],
        {},
        ["a", "b"],
        [[["a"]]],
        {"message": "m", "code": 3},
        [{"loc": [], "msg": "m"}],
        [None, 5],
    ],
    ids=ascii,
)
def test_a_detail_of_any_shape_is_untouched(detail: Any) -> None:
    """The detail is what the agent sent, whatever its shape."""
    assert fail({"detail": detail, "other": 1}).detail == detail


@pytest.mark.parametrize("body", [{"error": "x"}, {}, [], ["a"], "text", 5, None, True], ids=ascii)
def test_without_a_detail_the_whole_body_is_the_detail(body: Any) -> None:
    """A body without the key `detail` is the detail as a whole."""
    assert fail(body).detail == body


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ("no such release", "no such release"),
        ("", "(no detail)"),
        ("  \n", "(no detail)"),
        (None, "null"),
        (["first", "second"], "first; second"),
        ([{"loc": ["body", "action"], "msg": "Field required", "type": "missing"}], "body.action: Field required"),
        (
            [{"loc": ["body", "items", 3], "msg": "too small"}, {"loc": ["query", "page"], "msg": "not a number"}],
            "body.items.3: too small; query.page: not a number",
        ),
        ([{"loc": [], "msg": "wrong"}], "wrong"),
        ([{"loc": "body", "msg": "wrong"}], "wrong"),
        ([{"loc": [[1], None], "msg": {"a": [1]}}], '[1].null: {"a": [1]}'),
        ([{"type": "missing"}], '{"type": "missing"}'),
        ({"message": "said so", "code": 7}, "said so"),
        ({"message": 5}, '{"message": 5}'),
        ({"코드": "값"}, '{"코드": "값"}'),
    ],
)
def test_a_message_is_made_for_people(detail: Any, message: str) -> None:
    """A detail of any shape is shown as a person would write it, lists of problems with their places."""
    assert str(fail({"detail": detail}, 422)) == f"GET {URL} -> 422: {message}"


@pytest.mark.parametrize(
    "body", [{"detail": "x", "error_type": "action_failed"}, {"detail": {"error_type": "action_failed"}}]
)
@pytest.mark.parametrize("status", [422, 500, 503, 504])
def test_a_failed_action_is_told_from_a_failed_agent(body: Any, status: int) -> None:
    """An error_type that begins with action_, beside the detail or within, makes an ActionFailedError."""
    error = fail(body, status)
    assert type(error) is exceptions.ActionFailedError
    assert (error.status_code, error.error_type, error.detail) == (status, "action_failed", body["detail"])
    assert "[action_failed]" in str(error)


@pytest.mark.parametrize("error_type", ["action_failed", "action_timeout", "action_", "action_of_tomorrow"])
def test_any_action_error_is_one(error_type: str) -> None:
    """Error types of actions that are not known yet are errors of actions too."""
    assert type(fail({"detail": "x", "error_type": error_type})) is exceptions.ActionFailedError


@pytest.mark.parametrize("body", [{"error_type": "gpu_unavailable"}, {"detail": {"error_type": "gpu_unavailable"}}])
def test_no_gpu_is_told_from_other_failures(body: Any) -> None:
    """A 503 with gpu_unavailable is a GpuUnavailableError."""
    assert type(fail(body, 503)) is exceptions.GpuUnavailableError
    assert type(fail(body, 409)) is exceptions.ConflictError


@pytest.mark.parametrize("error_type", [5, None, ["action_failed"], {}, True])
def test_an_error_type_that_is_no_text_is_none(error_type: Any) -> None:
    """An error_type of another kind is left in the body, and counts for nothing."""
    error = fail({"detail": "x", "error_type": error_type})
    assert error.error_type is None
    assert type(error) is exceptions.ServerError


def test_the_error_type_beside_the_detail_wins() -> None:
    """Where two are given, the contract's place counts."""
    error = fail({"detail": {"error_type": "action_failed"}, "error_type": "gpu_unavailable"}, 503)
    assert error.error_type == "gpu_unavailable"


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", ""),
        (b"<html><h1>502 Bad Gateway</h1></html>", "<html><h1>502 Bad Gateway</h1></html>"),
        (b"upstream \xff\xfe failed", "upstream \ufffd\ufffd failed"),
        (b'{"detail": "cut', '{"detail": "cut'),
        (b"9" * 5000, "9" * 5000),
        (b"\x00", "\x00"),
    ],
    ids=range(6),
)
def test_a_body_that_is_no_json_is_its_text(content: bytes, detail: str) -> None:
    """The page of a proxy, or nothing, is the detail as text."""
    error = answers.error(GET, answer(content, 502))
    assert error.detail == detail
    assert len(str(error)) < LONGEST


CHARSETS = [
    "latin-1",
    "utf-16",
    "hex",
    "base64",
    "zip",
    "rot13",
    "idna",
    "undefined",
    "nonsense",
    '"',
    "",
    "a b",
]


@pytest.mark.parametrize("charset", CHARSETS)
def test_any_charset_is_read(charset: str) -> None:
    """A charset that is wrong, or none at all, costs at most some letters of the text."""
    content_type = f"text/html; charset={charset}"
    error = answers.error(GET, answer(b"<p>\xe9\xff</p>", 500, content_type=content_type))
    assert isinstance(error.detail, str)
    assert error.detail
    with pytest.raises(exceptions.InvalidResponseError):
        answers.read(GET, answer(b"<p>\xe9\xff</p>", content_type=content_type))


def test_a_known_charset_is_used() -> None:
    """Text is decoded as its charset says."""
    assert answers.error(GET, answer(b"caf\xe9", 500, content_type="text/plain; charset=latin-1")).detail == "café"


HUGE: dict[str, Any] = {
    "text": "x" * 2**20,
    "list": ["x" * 100] * 10_000,
    "issues": [{"loc": ["body"] * 1000, "msg": "m" * 1000}] * 1000,
    "object": {"message": "x" * 2**20},
    "keys": {str(number): number for number in range(100_000)},
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


@pytest.mark.parametrize("depth", [100, 500, 900, *range(960, 1000, 2), 5_000, 100_000])
@pytest.mark.parametrize(
    "shape", ['{"detail": %s}', '{"detail": [{"msg": %s}]}', '{"detail": [{"loc": [%s], "msg": "x"}]}', "%s"]
)
def test_nested_bodies_end_in_the_error_that_they_are(shape: str, depth: int) -> None:
    """An error body that is nested as deep as it likes makes an error of its status."""
    content = shape % ("[" * depth + "]" * depth)
    error = answers.error(GET, answer(content, 404))
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


@given(JSON, st.integers(300, 999))
def test_any_body_makes_an_error(body: Any, status: int) -> None:
    """A JSON body of any shape, with any status, makes an error that is bounded, prints, pickles and copies."""
    error = fail(body, status)
    expected = body["detail"] if isinstance(body, dict) and "detail" in body else body
    assert error.detail == json.loads(json.dumps(expected))
    assert error.status_code == status
    assert len(str(error).encode()) < 4 * LONGEST
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == str(error)  # noqa: S301 - made here


@given(
    st.binary(),
    st.sampled_from([200, 201, 299, 301, 404, 500]),
    st.text(st.characters(max_codepoint=126, min_codepoint=32)),
)
def test_any_bytes_are_a_value_or_an_error(content: bytes, status: int, charset: str) -> None:
    """Whatever comes, it is the promised value or an error of the SDK."""
    response = answer(content, status, content_type=f"text/plain; charset={charset}")
    failure = None
    try:
        value = answers.read(GET, response)
    except exceptions.ClientError as error:
        failure = error
    if failure is None:
        assert isinstance(value, dict)
    else:
        assert failure.status_code == status
        assert len(str(failure)) < LONGEST


@pytest.mark.parametrize("content", ["NaN", '{"loss": NaN}', "[Infinity]", "-Infinity"])
def test_what_is_no_number_of_json_is_none(content: str) -> None:
    """NaN and the infinities are no JSON, and are not passed off as a result."""
    with pytest.raises(exceptions.InvalidResponseError, match="no JSON value"):
        answers.read(RUN, answer(content))


@given(JSON)
def test_a_result_is_untouched(value: Any) -> None:
    """The result of a run is any JSON value, just as it was sent."""
    assert answers.read(RUN, answer(json.dumps(value))) == json.loads(json.dumps(value))


@pytest.mark.parametrize("status", [200, 201, 202, 206, 299])
def test_any_success_carries_its_value(status: int) -> None:
    """All of 2xx are successes."""
    assert answers.read(GET, answer('{"id": "unusual", "more": [1]}', status)) == {"id": "unusual", "more": [1]}


@pytest.mark.parametrize("content", ["", "{}", "<html></html>"])
@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_call_without_a_result_gives_none(status: int, content: str) -> None:
    """Whatever a success of delete carries, the result is None."""
    assert answers.read(DELETE, answer(content, status)) is None


INVALID = {
    "empty": b"",
    "spaces": b"  ",
    "html": b"<html>Log in</html>",
    "cut": b'{"id": 7, "plug',
    "two": b"{}{}",
    "trailing": b"{} x",
    "single quotes": b"{'id': 7}",
    "bytes": b"\xff\xfe\x00\x81",
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge int": b'{"id": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("name", INVALID)
@pytest.mark.parametrize("call", [GET, RUN], ids=["get", "run"])
def test_a_success_that_is_no_json_is_an_error_of_its_own(call: Call[Any], name: str) -> None:
    """A success whose body is not JSON is an InvalidResponseError with the start of the body."""
    with pytest.raises(exceptions.InvalidResponseError, match="a body that is not JSON") as caught:
        answers.read(call, answer(INVALID[name]))
    assert caught.value.status_code == 200
    assert caught.value.detail == INVALID[name].decode("utf-8", "replace")[:2000]
    assert len(str(caught.value)) < LONGEST


@pytest.mark.parametrize("value", [[], "text", 5, 1.5, True, None], ids=ascii)
def test_json_of_another_kind_is_refused(value: Any) -> None:
    """Where an object belongs, another kind of JSON is an InvalidResponseError that names both."""
    with pytest.raises(exceptions.InvalidResponseError, match=f"{type(value).__name__} where dict belongs"):
        answers.read(GET, answer(json.dumps(value)))


def test_json_is_read_by_its_content() -> None:
    """JSON counts as JSON whatever its content type says, and with a byte order mark too."""
    assert answers.read(GET, answer(b'\xef\xbb\xbf{"id": 7}', content_type="text/plain")) == {"id": 7}
