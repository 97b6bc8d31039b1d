"""Reads, decodes and parses responses. Pure, and shared by sync and async."""

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


class ResponseTooLarge(Exception):  # noqa: N818 - internal; the exchange converts it to an error
    """A response exceeded the size limit."""


FAILURES = (httpx.TransportError, httpx.DecodingError, ResponseTooLarge)
"""Exceptions that a client throws into an exchange; others propagate."""


def parse(request: Request[R], response: httpx.Response) -> R:
    """Parse the value of a response.

    Returns:
        The body's JSON, unchanged; None if the request has no result.

    Raises:
        HTTPError: If the agent responded with an error.
        InvalidResponseError: If the body is not JSON of the expected type.
    """
    if not response.is_success:
        raise error_from(request, response)
    if request.result_type is None:
        return cast("R", None)
    try:
        # Like `json.loads`: UTF-8, UTF-16 or UTF-32.
        text = response.content.decode(json.detect_encoding(response.content), "surrogatepass")
        value = JSON.decode(text)
    except (ValueError, RecursionError) as failure:
        raise invalid_response(
            request, response, f"the body is not JSON ({str(failure) or 'nested too deeply'})"
        ) from None
    if not isinstance(value, request.result_type):
        raise invalid_response(
            request, response, f"expected {request.result_type.__name__}, got {type(value).__name__}"
        )
    return cast("R", value)


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not a JSON value"
    raise ValueError(msg)


JSON = json.JSONDecoder(parse_constant=_refuse_constant)


class BodyReader:
    """Reads the body of a response as it arrives.

    Args:
        response: The response.
        request: Its request.
        secrets: Secrets to redact from errors.
        limit: Maximum size in bytes, both as received and decoded.
    """

    __slots__ = ("_chunks", "_left", "_limit", "_response", "failure")

    def __init__(self, response: httpx.Response, request: httpx.Request, secrets: tuple[str, ...], limit: int) -> None:
        response.request = request
        response.extensions[SECRETS] = secrets
        self._response = response
        self._limit = self._left = limit
        self._chunks: list[bytes] = []
        self.failure: Exception | None = None
        """Why reading stopped."""
        length = response.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > limit:
            self.failure = self._too_large()

    def add(self, chunk: bytes) -> None:
        """Add a received chunk.

        Raises:
            ResponseTooLarge: If the body exceeds the limit.
        """
        self._chunks.append(chunk)
        self._left -= len(chunk)
        if self._left < 0:
            raise self._too_large()

    def end(self) -> httpx.Response:
        """The response with the received body. An unsuccessful response keeps whatever arrived of it.

        Raises:
            Exception: `failure`, if the response is successful.
            DecodingError: If a successful response cannot be decoded.
            ResponseTooLarge: If a successful response exceeds the limit.
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
        return ResponseTooLarge(f"the response exceeds max_response_bytes={self._limit}")
