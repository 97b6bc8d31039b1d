"""Parameters as people write them on the command line."""

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
    """What a file holds."""
    return FILES[file]


def test_value() -> None:
    """A value is JSON where it parses and text otherwise, of a file or of standard input too; dots in names nest."""
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


def test_what_makes_no_sense() -> None:
    """What cannot be used is refused by name, with no value, which may be secret; of a file, by where it stands."""
    for texts, expected in (
        (["a=secret", "a.b=secret"], "-p a.b and -p a contradict each other"),
        (["a.b=secret", "a=secret"], "-p a and -p a.b contradict each other"),
        (["a=secret", "b=2", "a=secret"], "-p a is given twice"),
        ([r"a\.b=1", r"a\.b=2"], r"-p a\.b is given twice"),
        (["=secret"], "-p =...: an empty name"),
        (["a.=secret"], "-p a.=...: an empty name"),
        (["top"], "-p 'top' has no value"),
        (["a=@"], "-p a=@ names no file"),
        (['a={"b": "secret", "c": 2, "b": 3}'], "-p a has the name 'b' twice"),
        ([f"a={DEEP}"], "-p a is nested too deep"),
        (["kept.b=secret"], "-p kept.b cannot be set: kept is a text in the file of parameters"),
    ):
        with pytest.raises(ParameterError) as caught:
            parse(texts, read, {"kept": "value"})
        assert (expected in str(caught.value), "secret" in str(caught.value)) == (True, False)
    for text, expected in {
        "[1]": "p.json holds a list: it must be a JSON object",
        '{"a": 1,\n "b": }': "p.json is not JSON: Expecting value, line 2, column 7",
        '{"a": {"b": 1, "b": 2}}': "p.json has the name 'b' twice",
        '{"a": NaN}': "p.json is not JSON: NaN is no JSON value",
        DEEP: "p.json is not JSON: ",
    }.items():
        with pytest.raises(ParameterError) as caught:
            parse_object(text, "p.json")
        assert expected in str(caught.value)


@given(NAMES, JSON)
def test_any_name_and_any_json_come_through(names: tuple[str, ...], value: Any) -> None:
    """Whatever names and JSON are written, with what has a meaning escaped, is what comes out."""
    result = parse([f"{join(names)}={json.dumps(value)}"], read)
    for name in names:
        assert list(result) == [name]
        result = result[name]
    assert result == value


@given(st.lists(st.text() | st.builds("{}={}".format, NAMES.map(join), st.integers()), max_size=6), st.randoms())
def test_any_texts_in_any_order(texts: list[str], random: Any) -> None:
    """Whatever is typed is read or refused with a message, and the order does not matter."""

    def outcome(texts: list[str]) -> object:
        try:
            return parse(texts, str)
        except ParameterError as error:
            assert str(error)  # noqa: PT017 - most texts are refused, and some are not
            return "refused"

    assert outcome(texts) == outcome(random.sample(texts, len(texts)))
