"""Parameters of actions as people write them, `-p top=5 -p options.lang=en`. Pure: who calls reads the files."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Read = Callable[[str], str]
    """Gives what a file holds; `-` is standard input."""

STDIN = "-"
ESCAPED = frozenset(".=\\")


class ParameterError(ValueError):
    """A parameter that makes no sense; the message says which. Values are never shown, since they may be secret."""


def parse(
    given: Iterable[str], read: Read, base: Mapping[str, Any] | None = None, option: str = "-p"
) -> dict[str, Any]:
    """Read `NAME=VALUE` texts.

    A value is JSON where it parses as such, and text otherwise; `@file` is what a file holds, and `-` or `@-` what
    standard input does, by the same rule. A dot in the name nests; a backslash before `.`, `=` or a backslash takes
    its meaning away.

    Args:
        given: The texts, in any order.
        read: Gives what a file holds.
        base: Values that these are laid over.
        option: What the texts are given with, for messages.

    Returns:
        The values by name, nested.

    Raises:
        ParameterError: If a text has no `=` or an empty name, or two of them contradict each other.

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
            msg = f"{shown} is given twice: give it once"
            raise ParameterError(msg)
        if names in above:
            msg = f"{shown} and {above[names]} contradict each other: one gives the whole, the other a part of it"
            raise ParameterError(msg)
        for length in range(1, len(names)):
            if names[:length] in given_names:
                whole = f"{option} {join(names[:length])}"
                msg = f"{shown} and {whole} contradict each other: one gives the whole, the other a part of it"
                raise ParameterError(msg)
            above.setdefault(names[:length], shown)
        given_names.add(names)
        _put(values, names, _value(raw, read, shown), shown)
    return values


def split(text: str, option: str = "-p") -> tuple[tuple[str, ...], str]:
    r"""The names and the raw value of a `NAME=VALUE` text.

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
                msg = f"{option} {text[:index]}=...: an empty name; write NAME=VALUE, or OUTER.INNER=VALUE"
                raise ParameterError(msg)
            return tuple(names), text[index + 1 :]
        else:
            names[-1] += character
    msg = f"{option} {text!r:.100} has no value: write NAME=VALUE, such as top=5"
    raise ParameterError(msg)


def join(names: Iterable[str]) -> str:
    r"""Names as `split` reads them.

    Example:
        >>> print(join(("options", "file.name")))
        options.file\.name
    """
    return ".".join("".join(f"\\{each}" if each in ESCAPED else each for each in name) for name in names)


def parse_object(text: str, source: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: The JSON.
        source: Where it stands, for messages.

    Raises:
        ParameterError: If it is not a JSON object, or has a name twice.

    Example:
        >>> parse_object('{"top": 5}', "p.json")
        {'top': 5}
    """
    try:
        value = _decode(text)
    except _TwiceError as error:
        msg = f"{source} has the name {error} twice in one object: give it once"
        raise ParameterError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{source} is not JSON: {error.msg}, line {error.lineno}, column {error.colno}"
        raise ParameterError(msg) from None
    except (ValueError, RecursionError) as error:
        msg = f"{source} is not JSON: {str(error) or 'nested too deep'}"
        raise ParameterError(msg) from None
    if not isinstance(value, dict):
        msg = f"{source} holds {_kind(value)}: it must be a JSON object, such as " + '{"top": 5}'
        raise ParameterError(msg)
    return value


def _value(raw: str, read: Read, shown: str) -> Any:
    text = raw
    if raw == STDIN:
        text = read(STDIN)
    elif raw.startswith("@"):
        if raw == "@":
            msg = f"{shown}=@ names no file: write {shown}=@FILE, or ={json.dumps(raw)} for the text itself"
            raise ParameterError(msg)
        text = read(raw[1:])
    try:
        return _decode(text)
    except _TwiceError as error:
        msg = f"{shown} has the name {error} twice in one object: give it once"
        raise ParameterError(msg) from None
    except RecursionError:
        msg = f"{shown} is nested too deep"
        raise ParameterError(msg) from None
    except ValueError:
        return text


def _put(values: dict[str, Any], names: tuple[str, ...], value: Any, shown: str) -> None:
    """Set a nested value; what is not there above it is made."""
    for depth, name in enumerate(names[:-1], start=1):
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            msg = f"{shown} cannot be set: {join(names[:depth])} is {_kind(values)} in the file of parameters"
            raise ParameterError(msg)
    values[names[-1]] = value


class _TwiceError(Exception):
    """A name that stands twice in an object; of two values, Python's reader would take the last without a word."""


def _decode(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)


def _refuse(name: str) -> None:
    msg = f"{name} is no JSON value"
    raise ValueError(msg)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(repr(name) for name in names if names.count(name) > 1))
    return found


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
