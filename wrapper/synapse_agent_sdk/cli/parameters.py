"""Action parameters on the command line, `-p top=5 -p options.lang=en`. Pure: the caller reads the files."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Read = Callable[[str], str]
    """Returns the contents of a file; `-` is stdin."""

STDIN = "-"
ESCAPED = frozenset(".=\\")


class ParameterError(ValueError):
    """An invalid parameter. The message names it, but never shows its value, which may be secret."""


def parse(
    given: Iterable[str], read: Read, base: Mapping[str, Any] | None = None, option: str = "-p"
) -> dict[str, Any]:
    r"""Parse `NAME=VALUE` strings.

    A value is JSON if it parses as JSON, and a string otherwise. `@file` is replaced by the contents of the file, and
    `-` or `@-` by stdin, by the same rule. A dot in the name nests; a backslash escapes `.`, `=` and `\`.

    Args:
        given: The strings, in any order.
        read: Returns the contents of a file.
        base: Values that these override.
        option: The command-line option, for messages.

    Returns:
        The values by name, nested.

    Raises:
        ParameterError: If a string has no `=` or an empty name, or two of them conflict.

    Example:
        >>> parse(["top=5", "path=README.md", "options.lang=en"], read=lambda file: "")
        {'top': 5, 'path': 'README.md', 'options': {'lang': 'en'}}
    """
    values: dict[str, Any] = deepcopy(dict(base or {}))
    given_names: set[tuple[str, ...]] = set()
    above: dict[tuple[str, ...], str] = {}
    for text in given:
        names, raw = split(text, option)
        shown = f"{option} {join(names)}"
        if names in given_names:
            msg = f"{shown} is passed twice: pass it once"
            raise ParameterError(msg)
        if names in above:
            msg = f"{shown} conflicts with {above[names]}, which sets a part of it: pass only one"
            raise ParameterError(msg)
        for length in range(1, len(names)):
            if names[:length] in given_names:
                whole = f"{option} {join(names[:length])}"
                msg = f"{shown} conflicts with {whole}, which sets all of it: pass only one"
                raise ParameterError(msg)
            above.setdefault(names[:length], shown)
        given_names.add(names)
        _put(values, names, _value(raw, read, shown), shown)
    return values


def split(text: str, option: str = "-p") -> tuple[tuple[str, ...], str]:
    r"""Split a `NAME=VALUE` string into its nested names and its raw value.

    Raises:
        ParameterError: If it has no `=`, or an empty name.

    Example:
        >>> split(r"options.file\.name=a=b")
        (('options', 'file.name'), 'a=b')
    """
    names = [""]
    characters = iter(enumerate(text))
    for index, character in characters:
        if character == "\\" and text[index + 1 : index + 2] in ESCAPED and index + 1 < len(text):
            names[-1] += next(characters)[1]
        elif character == ".":
            names.append("")
        elif character == "=":
            if "" in names:
                msg = f"{option} {text[:index]}=...: empty name; use NAME=VALUE or OUTER.INNER=VALUE"
                raise ParameterError(msg)
            return tuple(names), text[index + 1 :]
        else:
            names[-1] += character
    msg = f"{option} {text!r:.100} has no value: use NAME=VALUE, such as top=5"
    raise ParameterError(msg)


def join(names: Iterable[str]) -> str:
    r"""Join and escape names; the inverse of `split`.

    Example:
        >>> print(join(("options", "file.name")))
        options.file\.name
    """
    return ".".join("".join(f"\\{each}" if each in ESCAPED else each for each in name) for name in names)


def parse_object(text: str, source: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        text: The JSON.
        source: Its file name, for messages.

    Raises:
        ParameterError: If it is not a JSON object, or has a duplicate name.

    Example:
        >>> parse_object('{"top": 5}', "p.json")
        {'top': 5}
    """
    try:
        value = _decode(text)
    except _DuplicateNameError as error:
        msg = f"{source} has a duplicate name: {error}"
        raise ParameterError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{source} is not valid JSON: {error.msg}, line {error.lineno}, column {error.colno}"
        raise ParameterError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"{source} is not valid JSON: {str(error) or 'nested too deeply'}"
        raise ParameterError(msg) from None
    if not isinstance(value, dict):
        msg = f"{source} must be a JSON object, not {_kind(value)}, such as " + '{"top": 5}'
        raise ParameterError(msg)
    return value


def _value(raw: str, read: Read, shown: str) -> Any:
    text = raw
    if raw == STDIN:
        text = read(STDIN)
    elif raw.startswith("@"):
        if raw == "@":
            msg = f"{shown}=@ has no file name: use {shown}=@FILE, or ={json.dumps(raw)} for the string @"
            raise ParameterError(msg)
        text = read(raw[1:])
    try:
        return _decode(text)
    except _DuplicateNameError as error:
        msg = f"{shown} has a duplicate name: {error}"
        raise ParameterError(msg) from None
    except RecursionError:
        msg = f"{shown} is nested too deeply"
        raise ParameterError(msg) from None
    except ValueError:
        return text


def _put(values: dict[str, Any], names: tuple[str, ...], value: Any, shown: str) -> None:
    """Set a nested value, and create missing parents."""
    for depth, name in enumerate(names[:-1], start=1):
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            msg = f"{shown} cannot be set: {join(names[:depth])} is {_kind(values)} in the parameters file"
            raise ParameterError(msg)
    values[names[-1]] = value


class _DuplicateNameError(Exception):
    """A duplicate name in an object; Python's parser would silently keep the last value."""


def _decode(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)


def _refuse(name: str) -> None:
    msg = f"{name} is not a JSON value"
    raise ValueError(msg)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateNameError(next(repr(name) for name in names if names.count(name) > 1))
    return found


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
