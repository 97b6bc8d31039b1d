"""A response becomes the value that was asked for: read, decoded and parsed. Pure, and shared by sync and async."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar, cast

import httpx

from synapse_agent_sdk.runtime import decoding
from synapse_agent_sdk.runtime.errors import SECRETS, error_from, invalid_response
from synapse_agent_sdk.runtime.transport._private import set_content

if TYPE_CHECKING:
    from synapse_agent_sdk.runtime.request import Request

R = TypeVar("R")


class ResponseTooLarge(Exception):  # noqa: N818 - a signal to the exchange, which makes the error
    """A response was larger than the limit."""


FAILURES = (httpx.TransportError, httpx.DecodingError, ResponseTooLarge)
"""What a client throws into an exchange; any other exception passes through."""


def parse(request: Request[R], response: httpx.Response) -> R:
    """The value that a response carries.

    Returns:
        The body's JSON, untouched; None if the request has no result.

    Raises:
        HTTPError: If the agent responded with an error.
        InvalidResponseError: If the body is not the JSON that the contract says.
    """
    if not response.is_success:
        raise error_from(request, response)
    if request.result_type is None:
        return cast("R", None)
    try:
        # As `json.loads` reads it: UTF-8, UTF-16 or UTF-32.
        text = response.content.decode(json.detect_encoding(response.content), "surrogatepass")
        value = JSON.decode(text)
    except (ValueError, RecursionError) as failure:
        raise invalid_response(
            request, response, f"a body that is not JSON ({str(failure) or 'nested too deep'})"
        ) from None
    if not isinstance(value, request.result_type):
        raise invalid_response(
            request, response, f"{type(value).__name__} where {request.result_type.__name__} belongs"
        )
    return cast("R", value)


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON value"
    raise ValueError(msg)


JSON = json.JSONDecoder(parse_constant=_refuse_constant)


class BodyReader:
    """Reads the body of a response, as it arrives.

    Args:
        response: The response.
        request: The request that it answers.
        secrets: What its errors must not show.
        limit: How many bytes it may have, as it arrives and once it is decoded.
    """

    __slots__ = ("_chunks", "_left", "_limit", "_response", "failure")

    def __init__(self, response: httpx.Response, request: httpx.Request, secrets: tuple[str, ...], limit: int) -> None:
        response.request = request
        response.extensions[SECRETS] = secrets
        self._response = response
        self._limit = self._left = limit
        self._chunks: list[bytes] = []
        self.failure: Exception | None = None
        """Why there is no more to read."""
        length = response.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > limit:
            self.failure = self._too_large()

    def add(self, chunk: bytes) -> None:
        """Take what arrived.

        Raises:
            ResponseTooLarge: If it is more than the limit by now.
        """
        self._chunks.append(chunk)
        self._left -= len(chunk)
        if self._left < 0:
            raise self._too_large()

    def end(self) -> httpx.Response:
        """The response with what arrived. An error is one whatever became of its body: what there is of it is kept.

        Raises:
            Exception: `failure`, if the response is a success.
            DecodingError: If a success is not of its coding.
            ResponseTooLarge: If a success is larger than the limit.
        """
        content = b"".join(self._chunks)
        coding = self._response.headers.get("content-encoding", "")
        try:
            if self.failure is not None:
                raise self.failure
            if coding:
                content = decoding.decode(content, coding, self._limit)
        except decoding.TooLargeError:
            if self._response.is_success:
                raise self._too_large() from None
        except decoding.DecodingError as error:
            if self._response.is_success:
                raise httpx.DecodingError(str(error)) from None
        except FAILURES:
            if self._response.is_success:
                raise
        set_content(self._response, content)
        return self._response

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"the answer is larger than max_response_bytes={self._limit}")
