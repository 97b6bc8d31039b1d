"""Responses are converted to values or errors."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synapse_agent_sdk import exceptions
from synapse_agent_sdk.endpoints import delete_plugin_release, get_plugin_release
from synapse_agent_sdk.runtime import Request
from synapse_agent_sdk.runtime.errors import error_from
from synapse_agent_sdk.runtime.response import parse

from tests.unit.helpers import json_values, refusal

URL = "http://agent:8600/plugin_releases/7"
GET: Request[Any] = get_plugin_release(7)
RUN: Request[Any] = Request("POST", URL, object)
LONGEST = 3_000
"""Maximum length of a message."""
KEYS = st.text() | st.sampled_from(["detail", "error_type", "msg", "loc"])


def answer(content: bytes | str, status: int = 200, url: str = URL, kind: str = "application/json") -> httpx.Response:
    """A response from the transport."""
    headers = {"Content-Type": kind}
    return httpx.Response(status, content=content, headers=headers, request=httpx.Request("GET", url))


def fail(body: Any, status: int = 500, url: str = URL) -> exceptions.HTTPError:
    """The error of a JSON response."""
    return error_from(GET, answer(json.dumps(body), status, url))


def test_each_status_has_its_class() -> None:
    """Every status, known or unknown, maps to an error class."""
    statuses = {
        **dict.fromkeys([300, 399, 402, 418, 499, 600, 999], exceptions.HTTPError),
        **dict.fromkeys([500, 503, 599], exceptions.ServerError),
        **dict.fromkeys([400, 422], exceptions.ValidationError),
        401: exceptions.AuthenticationError,
        403: exceptions.AuthorizationError,
        404: exceptions.NotFoundError,
        409: exceptions.ConflictError,
        429: exceptions.RateLimitError,
    }
    assert {status: type(fail({"detail": "told"}, status)) for status in statuses} == statuses


def test_messages_are_readable() -> None:
    """A detail of any shape is readable in the message; validation issues have their locations."""
    range_issue = {"loc": ["body", "items", 3], "msg": "too small", "type": "range"}
    messages: dict[str, Any] = {
        "(no detail)": "  \n",
        "null": None,
        "first; body.items.3: too small": ["first", range_issue],
        "unplaced; misplaced": [{"loc": [], "msg": "unplaced"}, {"loc": "body", "msg": "misplaced"}],
        '[1].null: {"a": [1]}': [{"loc": [[1], None], "msg": {"a": [1]}}],
        '{"type": "missing"}': [{"type": "missing"}],
        "said so": {"message": "said so", "code": 7},
        '{"message": 5, "코드": "값"}': {"message": 5, "코드": "값"},
    }
    for message, detail in messages.items():
        assert str(fail({"detail": detail}, 422)) == f"GET {URL} -> 422: {message}"
    # Lone surrogates are escaped, and a query may contain secrets.
    error = fail({"detail": "\ud800", "error_type": "action_\udfff"}, url=f"{URL}?token=secret")
    assert str(error).encode() == f"GET {URL}?... -> 500 [action_\\udfff]: \\ud800".encode()


def test_an_error_type_says_what_failed() -> None:
    """An error_type action_* makes an ActionFailedError, and gpu_unavailable with 503 a GpuUnavailableError."""
    for status, error_type, kind in (
        (422, "action_failed", exceptions.ActionFailedError),
        (503, "action_of_tomorrow", exceptions.ActionFailedError),
        (503, "gpu_unavailable", exceptions.GpuUnavailableError),
        (409, "gpu_unavailable", exceptions.ConflictError),
        *((500, other, exceptions.ServerError) for other in (5, None, ["action_failed"])),
    ):
        for body in ({"detail": "x", "error_type": error_type}, {"detail": {"error_type": error_type}}):
            error = fail(body, status)
            known = error_type if isinstance(error_type, str) else None
            assert (type(error), error.error_type, error.detail) == (kind, known, body["detail"])
    both = {"detail": {"error_type": "action_failed"}, "error_type": "gpu_unavailable"}
    assert fail(both, 503).error_type == "gpu_unavailable"


def test_a_body_that_is_not_json_is_the_detail() -> None:
    """A body that is not JSON is the detail, decoded with its charset."""
    for content in (b"", b"<html><h1>502 Bad Gateway</h1></html>", b"bad \xff\xfe", b'{"detail": "cut', b"9" * 5000):
        error = error_from(GET, answer(content, 502))
        assert error.detail == content.decode("utf-8", "replace")
        assert len(str(error)) < LONGEST
    assert error_from(GET, answer(b"caf\xe9", 500, kind="text/plain; charset=latin-1")).detail == "café"


def test_messages_are_bounded() -> None:
    """A large or deeply nested body makes a short message; the error's detail is complete."""
    huge = [
        "x" * 2**20,
        ["x" * 100] * 10_000,
        [{"loc": ["body"] * 1000, "msg": "m" * 1000}] * 200,
        {"message": "x" * 2**20},
    ]
    for detail in huge:
        error_type = "action_" + "y" * 2**20
        error = fail({"detail": detail, "error_type": error_type}, url=URL + "x" * 60_000)
        assert len(str(error)) < LONGEST
        assert (error.detail, error.error_type) == (detail, error_type)
    for shape in ('{"detail": %s}', '{"detail": [{"msg": %s}]}', '{"detail": [{"loc": [%s], "msg": "x"}]}', "%s"):
        for depth in (100, 500, *range(900, 1000, 2), 100_000):
            nested = error_from(GET, answer(shape % ("[" * depth + "]" * depth), 404))
            assert type(nested) is exceptions.NotFoundError
            assert len(str(nested)) < LONGEST


@settings(max_examples=30)
@given(json_values(st.text(), KEYS), st.integers(300, 999))
@example({"detail": None, "other": 1}, 500)
@example({"detail": ""}, 404)
@example({}, 500)
def test_any_json_is_a_result_or_makes_an_error(body: Any, status: int) -> None:
    """Results and error details are unchanged; error messages are bounded and survive pickling."""
    assert parse(RUN, answer(json.dumps(body))) == body
    error = fail(body, status)
    assert error.detail == (body["detail"] if isinstance(body, dict) and "detail" in body else body)
    assert error.status_code == status
    assert len(str(error).encode()) < 4 * LONGEST
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == str(error)  # noqa: S301 - our own data


CHARSETS = st.sampled_from(["utf-16", "hex", "zip", "rot13", "idna", "undefined", "nonsense", '"', "a b", ""])


@settings(max_examples=50)
@given(
    st.binary(),
    st.sampled_from([200, 201, 299, 301, 404, 500]),
    CHARSETS | st.text(st.characters(max_codepoint=126, min_codepoint=32)),
)
def test_any_bytes_are_a_value_or_an_error(content: bytes, status: int, charset: str) -> None:
    """Any bytes with any charset are a valid value or an error of the SDK."""
    try:
        value = parse(GET, answer(content, status, kind=f"text/plain; charset={charset}"))
    except exceptions.ClientError as error:
        shown = str(error)
        assert f" -> {status}" in shown
        assert len(shown) < LONGEST
    else:
        assert isinstance(value, dict)


def test_any_success_is_parsed() -> None:
    """Any 2xx is a success, JSON is parsed regardless of content type, and a delete has no result."""
    for status in (200, 202, 299):
        response = answer(b'\xef\xbb\xbf{"id": "unusual", "more": [1]}', status, kind="text/plain")
        assert parse(GET, response) == {"id": "unusual", "more": [1]}
    for status, content in ((200, "{}"), (202, "<html></html>"), (204, "")):
        assert parse(delete_plugin_release(7), answer(content, status)) is None


@pytest.mark.parametrize(
    "content",
    [
        *(
            b"",
            b"<html>Log in</html>",
            b'{"id": 7, "plug',
            b"{}{}",
            b"\xff\xfe\x00\x81",
            b'{"loss": NaN}',
            b"[-Infinity]",
        ),
        *(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b'{"id": ' + b"9" * 10_000 + b"}"),
    ],
    ids=range(9),
)
def test_a_success_without_json_is_an_invalid_response(content: bytes) -> None:
    """A successful response without JSON raises an InvalidResponseError with the beginning of the body."""
    for call in (GET, RUN):
        with pytest.raises(exceptions.InvalidResponseError, match="the body is not JSON") as caught:
            parse(call, answer(content))
        assert caught.value.status_code == 200
        assert caught.value.detail == content.decode("utf-8", "replace")[:2000]
        assert len(str(caught.value)) < LONGEST
    assert "expected dict, got list" in refusal(exceptions.InvalidResponseError, parse, GET, answer("[]"))
