"""Request bodies: Python values as JSON, or an error that names the value that is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def json_error(body: Any, error: Exception) -> TypeError | ValueError:
    """Why a body could not be encoded as JSON, with the path of the value.

    Args:
        body: The body.
        error: What `ENCODER` raised.

    Example:
        >>> json_error({"params": {"items": [1, {2}]}}, TypeError("a set"))
        TypeError('params.items[1] is not JSON: a set (use a list)')
    """
    if isinstance(error, RecursionError):
        return ValueError("the body is nested too deep for JSON")
    path, culprit, error = _find(body, error)
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{path or 'the body'} is not JSON: {_error_message(culprit, error)}")


def _plain(value: Any) -> Any:
    """What `json.dumps` is to encode in place of a value that it does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    msg = f"a {type(value).__name__}"
    raise TypeError(msg)


ENCODER = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)
"""Takes what `json.dumps` takes, and any mapping, but no NaN or infinity. `json.dumps` would make one for each call."""


def _find(value: Any, error: Exception) -> tuple[str, Any, Exception]:
    """The path, value and error of the innermost part of `value` that cannot be encoded; `value` itself cannot.

    It goes down one part at a time, so that a value that holds itself ends where it comes back to itself.
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
        return "a text with lone surrogates, which UTF-8 cannot carry"
    if isinstance(culprit, float):
        return f"{culprit!r}"
    if isinstance(culprit, int):
        return "an int of more digits than Python turns into text"
    if isinstance(culprit, Mapping | list | tuple):
        return str(error)  # a key of a wrong type, or a reference to itself: json says so well
    name = type(culprit).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name} ({_HINTS.get(name, 'make it text, a number, a list or a dict')})"
