"""Decompresses response bodies (content codings, RFC 9110, section 8.4.1). Pure.

httpx would inflate a whole chunk before its size is known, and accepts truncated bodies.
"""

from __future__ import annotations

import zlib

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
RAW = -zlib.MAX_WBITS
ACCEPTED = "gzip, deflate"
"""The codings to request."""


class DecodingError(Exception):
    """A body does not match its content coding."""


class TooLargeError(Exception):
    """A decompressed body exceeds the limit."""


def decode(content: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body.

    Args:
        content: The body as received.
        coding: Its `Content-Encoding`.
        limit: Maximum size of the result in bytes.

    Raises:
        DecodingError: If the body is truncated or invalid, or the coding was not requested.
        TooLargeError: If the result exceeds the limit; inflation stops there.

    Example:
        >>> decode(zlib.compress(b"hello"), "deflate", 10)
        b'hello'
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return content
    if coding not in {"gzip", "x-gzip", "deflate"}:
        msg = f"unsupported Content-Encoding {coding!r:.100}"
        raise DecodingError(msg)
    try:
        return _inflate(content, GZIP_OR_ZLIB, limit)
    except zlib.error as error:
        if coding != "deflate":
            raise DecodingError(str(error)) from None
    try:
        return _inflate(content, RAW, limit)  # some servers send raw deflate
    except zlib.error as error:
        raise DecodingError(str(error)) from None


def _inflate(content: bytes, window: int, limit: int) -> bytes:
    inflater = zlib.decompressobj(window)
    inflated = inflater.decompress(content, limit + 1)
    if len(inflated) > limit:
        raise TooLargeError
    if not inflater.eof:
        msg = "the body is truncated"
        raise DecodingError(msg)
    return inflated
