"""The body of an answer: counted while it arrives, then joined and decoded. Pure, and shared by both flavours."""

from __future__ import annotations

import httpx

from synapse_sdk.clients.agent import decoding, flow, internals


class Body:
    """The body of a response, as it arrives.

    Args:
        response: The response.
        limit: How many bytes it may have, as it arrives and once it is decoded.
    """

    __slots__ = ("_chunks", "_left", "_limit", "_response", "failure")

    def __init__(self, response: httpx.Response, limit: int) -> None:
        self._response = response
        self._limit = limit
        self._left = limit
        self._chunks: list[bytes] = []
        self.failure: Exception | None = None
        """What ended it before its end."""

    def begin(self) -> None:
        """Look at what it announces.

        Raises:
            TooLarge: If that is more than the limit.
        """
        length = self._response.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._limit:
            raise self._too_large()

    def add(self, chunk: bytes) -> None:
        """Take what arrived.

        Raises:
            TooLarge: If it is more than the limit by now.
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
            TooLarge: If a success is larger than the limit.
        """
        content = b"".join(self._chunks)
        coding = self._response.headers.get("content-encoding", "")
        try:
            if self.failure is not None:
                raise self.failure
            content = decoding.decode(content, coding, self._limit)
        except decoding.TooLargeError:
            if self._response.is_success:
                raise self._too_large() from None
        except decoding.DecodingError as error:
            if self._response.is_success:
                raise httpx.DecodingError(str(error)) from None
        except flow.FAILURES:
            if self._response.is_success:
                raise
        internals.set_content(self._response, content)
        return self._response

    def _too_large(self) -> flow.TooLarge:
        return flow.TooLarge(f"the answer is larger than max_response_bytes={self._limit}")
