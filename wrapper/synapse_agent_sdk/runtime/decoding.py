"""Content codings: a body as it was before it was compressed (RFC 9110, section 8.4.1). Pure.

httpx would inflate a whole chunk before anybody can count it, and takes a body that was cut for a whole one.
"""

from __future__ import annotations

import zlib

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
RAW = -zlib.MAX_WBITS
ACCEPTED = "gzip, deflate"
"""The codings that are asked for."""


class DecodingError(Exception):
    """A body is not what its coding says."""


class TooLargeError(Exception):
    """A body is larger than the limit, once it is decompressed."""


def decode(content: bytes, coding: str, limit: int) -> bytes:
    """Undo the coding of a body.

    Args:
        content: The body as it arrived.
        coding: Its `Content-Encoding`.
        limit: How many bytes it may have afterwards.

    Raises:
        DecodingError: If it was cut, or is not of its coding, or of one that was not asked for.
        TooLargeError: If it is larger than the limit; no more than that was inflated.

    Example:
        >>> decode(zlib.compress(b"hello"), "deflate", 10)
        b'hello'
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return content
    if coding not in {"gzip", "x-gzip", "deflate"}:
        msg = f"its Content-Encoding is {coding!r:.100}, which was not asked for"
        raise DecodingError(msg)
    try:
        return _inflate(content, GZIP_OR_ZLIB, limit)
    except zlib.error as error:
        if coding != "deflate":
            raise DecodingError(str(error)) from None
    try:
        return _inflate(content, RAW, limit)  # what some servers mean by deflate
    except zlib.error as error:
        raise DecodingError(str(error)) from None


def _inflate(content: bytes, window: int, limit: int) -> bytes:
    inflater = zlib.decompressobj(window)
    inflated = inflater.decompress(content, limit + 1)
    if len(inflated) > limit:
        raise TooLargeError
    if not inflater.eof:
        msg = "it was cut"
        raise DecodingError(msg)
    return inflated
