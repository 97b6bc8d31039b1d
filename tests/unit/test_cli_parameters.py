"""Parameters on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_agent_sdk.cli.parameters import ParameterError, join, parse, parse_object

FILES = {"text": "two\nlines\n", "p.json": '{"top": 5}', "-": "from stdin"}
NAMES = st.lists(st.text(min_size=1), min_size=1, max_size=4).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
DEEP = "[" * 100_000


def read(file: str) -> str:
    """The contents of a file."""
    return FILES[file]


def test_value() -> None:
    """A value is JSON if it parses, else a string, also from a file or stdin; dots in names nest."""
    expected = {
        "top=5": {"top": 5},
        "path=README.md": {"path": "README.md"},
        "half=[1,": {"half": "[1,"},
        "empty=": {"empty": ""},
        "equals=a=b": {"equals": "a=b"},
        "a.b.c=1": {"a": {"b": {"c": 1}}},
        r"file\.name=1": {"file.name": 1},
        r"a\=b=1": {"a=b": 1},
        r"C:\dir=1": {r"C:\dir": 1},
        r"a\\.b=1": {"a\\": {"b": 1}},
        "not_json=NaN": {"not_json": "NaN"},
        "file=@text": {"file": "two\nlines\n"},
        "file=@p.json": {"file": {"top": 5}},
        "stdin=-": {"stdin": "from stdin"},
        "stdin=@-": {"stdin": "from stdin"},
        'literal="@text"': {"literal": "@text"},
    }
    assert {text: parse([text], read) for text in expected} == expected


def test_invalid_parameters() -> None:
    """An invalid parameter is named, without its value, which may be secret; JSON errors have line and column."""
    for arguments, expected in (
        (["a=secret", "a.b=secret"], "-p a.b conflicts with -p a, "),
        (["a.b=secret", "a=secret"], "-p a conflicts with -p a.b, "),
        (["a=secret", "b=2", "a=secret"], "-p a is passed twice"),
        ([r"a\.b=1", r"a\.b=2"], r"-p a\.b is passed twice"),
        (["=secret"], "-p =...: empty name"),
        (["a.=secret"], "-p a.=...: empty name"),
        (["top"], "-p 'top' has no value"),
        (["a=@"], "-p a=@ has no file name"),
        (['a={"b": "secret", "c": 2, "b": 3}'], "-p a has a duplicate name: 'b'"),
        ([f"a={DEEP}"], "-p a is nested too deeply"),
        (["kept.b=secret"], "-p kept.b cannot be set: kept is a string in the parameters file"),
    ):
        with pytest.raises(ParameterError) as caught:
            parse(arguments, read, {"kept": "value"})
        assert (expected in str(caught.value), "secret" in str(caught.value)) == (True, False)
    for text, expected in {
        "[1]": "p.json must be a JSON object, not a list",
        '{"a": 1,\n "b": }': "p.json is not valid JSON: Expecting value, line 2, column 7",
        '{"a": {"b": 1, "b": 2}}': "p.json has a duplicate name: 'b'",
        '{"a": NaN}': "p.json is not valid JSON: NaN is not a JSON value",
        DEEP: "p.json is not valid JSON: ",
    }.items():
        with pytest.raises(ParameterError) as caught:
            parse_object(text, "p.json")
        assert expected in str(caught.value)


@given(NAMES, JSON)
def test_any_name_and_any_json_come_through(names: tuple[str, ...], value: Any) -> None:
    """Any names and JSON round-trip if special characters are escaped."""
    result = parse([f"{join(names)}={json.dumps(value)}"], read)
    for name in names:
        assert list(result) == [name]
        result = result[name]
    assert result == value


@given(st.lists(st.text() | st.builds("{}={}".format, NAMES.map(join), st.integers()), max_size=6), st.randoms())
def test_any_strings_in_any_order(arguments: list[str], random: Any) -> None:
    """Any input is parsed or rejected with a message, in any order."""

    def outcome(arguments: list[str]) -> object:
        try:
            return parse(arguments, str)
        except ParameterError as error:
            assert str(error)  # noqa: PT017 - most inputs are invalid, and some are not
            return "rejected"

    assert outcome(arguments) == outcome(random.sample(arguments, len(arguments)))
