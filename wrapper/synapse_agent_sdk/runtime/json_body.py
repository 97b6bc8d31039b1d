"""Encodes request bodies as JSON; errors name the invalid value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def json_error(body: Any, error: Exception) -> TypeError | ValueError:
    """The error for a body that is not JSON, with the path of the invalid value.

    Args:
        body: The body.
        error: The exception of `ENCODER`.

    Example:
        >>> json_error({"params": {"items": [1, {2}]}}, TypeError("a set"))
        TypeError('params.items[1] is not JSON: a set (use a list)')
    """
    if isinstance(error, RecursionError):
        return ValueError("the body is nested too deeply for JSON")
    path, culprit, error = _find(body, error)
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{path or 'the body'} is not JSON: {_error_message(culprit, error)}")


def _plain(value: Any) -> Any:
    """Convert a value that the encoder does not support."""
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"a {type(value).__name__}"
    raise TypeError(msg)


ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)
"""Encodes like `json.dumps`, plus any mapping, minus NaN and infinity. `json.dumps` would create one per call."""


def _find(value: Any, error: Exception) -> tuple[str, Any, Exception]:
    """The path, value and error of the innermost invalid part of an invalid `value`.

    Descends one level at a time, and stops where a value contains itself.
    """
    path = ""
    above: list[int] = []
    while id(value) not in above:
        above.append(id(value))
        for inner_path, inner in _children(value, path):
            try:
                ENCODER.encode(inner).encode()
            except (TypeError, ValueError) as inner_error:
                path, value, error = inner_path, inner, inner_error
                break
        else:
            break
    return path, value, error


def _children(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield (f"{path}.{key}" if path else str(key)), inner
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield f"{path}[{index}]", inner


_HINTS = {"set": "use a list", "frozenset": "use a list", "bytes": "decode it, or encode it as base64"}


def _error_message(culprit: Any, error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "a string with lone surrogates, which UTF-8 cannot encode"
    if isinstance(culprit, float):
        return f"{culprit!r}"
    if isinstance(culprit, int):
        return "an int with more digits than Python converts to a string"
    if isinstance(culprit, Mapping | list | tuple):
        return str(error)  # a key of the wrong type or a circular reference: json's message is clear
    name = type(culprit).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name} ({_HINTS.get(name, 'use a string, number, list or dict')})"
