"""Parameters as people write them on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_sdk.cli.parameters import ParameterError, join, parse, parse_object, split

FILES = {"text": "two\nlines\n", "p.json": '{"top": 5}', "number": "5\n", "-": "from stdin"}
NAMES = st.lists(st.text(min_size=1), min_size=1, max_size=4).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def read(file: str) -> str:
    """What a file holds."""
    return FILES[file]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("top=5", {"top": 5}),
        ("ratio=0.5", {"ratio": 0.5}),
        ("path=README.md", {"path": "README.md"}),
        ("is_fast=true", {"is_fast": True}),
        ("nothing=null", {"nothing": None}),
        ('quoted="5"', {"quoted": "5"}),
        ('list=[1, "a"]', {"list": [1, "a"]}),
        ('object={"a": {"b": 1}}', {"object": {"a": {"b": 1}}}),
        ("half=[1,", {"half": "[1,"}),
        ("empty=", {"empty": ""}),
        ("equals=a=b", {"equals": "a=b"}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        (r"file\.name=1", {"file.name": 1}),
        (r"a\=b=1", {"a=b": 1}),
        (r"C:\dir=1", {r"C:\dir": 1}),
        (r"a\\.b=1", {"a\\": {"b": 1}}),
        ("not_json=NaN", {"not_json": "NaN"}),
        ("not_json=-Infinity", {"not_json": "-Infinity"}),
        ("file=@text", {"file": "two\nlines\n"}),
        ("file=@p.json", {"file": {"top": 5}}),
        ("file=@number", {"file": 5}),
        ("stdin=-", {"stdin": "from stdin"}),
        ("stdin=@-", {"stdin": "from stdin"}),
        ("minus=-1", {"minus": -1}),
        ('literal="@text"', {"literal": "@text"}),
        ('literal="-"', {"literal": "-"}),
    ],
)
def test_value(text: str, expected: dict[str, Any]) -> None:
    """A value is JSON where it parses and text otherwise, of a file or of standard input too; dots in names nest."""
    assert parse([text], read) == expected


def test_values_beside_each_other() -> None:
    """Values below one name come together, whatever their order."""
    given_texts = ["a.b=1", "c=2", "a.d.e=3", "a.d.f=4"]
    expected = {"a": {"b": 1, "d": {"e": 3, "f": 4}}, "c": 2}
    assert parse(given_texts, read) == parse(given_texts[::-1], read) == expected


def test_values_over_those_of_a_file() -> None:
    """What is given is laid over what a file has, and the rest of it stays as it is."""
    base = {"top": 3, "options": {"lang": "ko", "fast": True}}
    assert parse(["top=5", "options.lang=en"], read, base) == {"top": 5, "options": {"lang": "en", "fast": True}}
    assert base == {"top": 3, "options": {"lang": "ko", "fast": True}}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a=1", "a.b=2"], "-p a.b and -p a contradict each other"),
        (["a.b=2", "a=1"], "-p a and -p a.b contradict each other"),
        (["a.b.c=2", 'a={"x": 1}'], "-p a and -p a.b.c contradict each other"),
        (["a=1", "b=2", "a=1"], "-p a is given twice"),
        (["a.b=1", "a.b=2"], "-p a.b is given twice"),
        ([r"a\.b=1", r"a\.b=2"], r"-p a\.b is given twice"),
        (["=1"], "-p =...: an empty name"),
        (["a..b=1"], "-p a..b=...: an empty name"),
        ([".a=1"], "-p .a=...: an empty name"),
        (["a.=1"], "-p a.=...: an empty name"),
        (["top"], "-p 'top' has no value"),
        ([""], "-p '' has no value"),
        ([r"a\=1"], r"has no value"),
        (["a=@"], "-p a=@ names no file"),
        (['a={"b": 1, "c": 2, "b": 3}'], "-p a has the name 'b' twice"),
        (["a=" + "[" * 100_000], "-p a is nested too deep"),
        (["kept.b=1"], "-p kept.b cannot be set: kept is a text in the file of parameters"),
        (["list.b=1"], "-p list.b cannot be set: list is a list in the file of parameters"),
    ],
)
def test_what_makes_no_sense(texts: list[str], expected: str) -> None:
    """Contradictions, empty names, names given twice and values that are none are refused by name."""
    with pytest.raises(ParameterError) as caught:
        parse(texts, read, {"kept": "value", "list": []})
    assert expected in str(caught.value)


def test_values_are_not_shown() -> None:
    """A message names parameters, and never shows a value, which may be secret."""
    for texts in (["key=hunter2", "key=hunter2"], ["key.=hunter2"], ["a.key=hunter2", "a=hunter2"]):
        with pytest.raises(ParameterError) as caught:
            parse(texts, read)
        assert "hunter2" not in str(caught.value)


@given(NAMES, JSON)
def test_any_name_and_any_json_come_through(names: tuple[str, ...], value: Any) -> None:
    """Whatever names and JSON are written, with what has a meaning escaped, is what comes out."""
    result = parse([f"{join(names)}={json.dumps(value)}"], read)
    for name in names:
        assert list(result) == [name]
        result = result[name]
    assert result == value


@given(NAMES, st.text())
def test_names_are_read_as_they_are_written(names: tuple[str, ...], value: str) -> None:
    """`split` gives back what `join` wrote, and the value untouched."""
    assert split(f"{join(names)}={value}") == (names, value)


@given(st.lists(st.text()), st.dictionaries(st.text(), JSON))
def test_any_text_is_read_or_refused(texts: list[str], base: dict[str, Any]) -> None:
    """Whatever is typed is read or refused with a message, and never anything else."""

    def missing(file: str) -> str:
        return file

    try:
        parse(texts, missing, base)
    except ParameterError as error:
        assert str(error)  # noqa: PT017 - most texts are refused, and some are not


@given(st.lists(st.tuples(NAMES, st.integers()), max_size=6), st.randoms())
def test_order_does_not_matter(pairs: list[tuple[tuple[str, ...], int]], random: Any) -> None:
    """In any order, the same parameters give the same values, or are refused."""
    texts = [f"{join(names)}={value}" for names, value in pairs]
    shuffled = random.sample(texts, len(texts))

    def outcome(texts: list[str]) -> object:
        try:
            return parse(texts, read)
        except ParameterError:
            return "refused"

    assert outcome(texts) == outcome(shuffled)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "p.json holds a list: it must be a JSON object"),
        ("5", "p.json holds a number"),
        ("", "p.json is not JSON: Expecting value, line 1, column 1"),
        ('{"a": 1,\n "b": }', "p.json is not JSON: Expecting value, line 2, column 7"),
        ('{"a": {"b": 1, "b": 2}}', "p.json has the name 'b' twice"),
        ('{"a": NaN}', "p.json is not JSON: NaN is no JSON value"),
        ("[" * 100_000, "p.json is not JSON: "),
    ],
)
def test_file_that_is_no_object(text: str, expected: str) -> None:
    """A file of parameters that is no JSON object is refused, and the message says where it stops to be one."""
    with pytest.raises(ParameterError) as caught:
        parse_object(text, "p.json")
    assert expected in str(caught.value)
