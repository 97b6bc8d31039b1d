"""Values as JSON, and the path to the one that is not."""

from __future__ import annotations

import json
import time
from collections import OrderedDict, UserDict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_sdk.clients.agent.jsonbody import encode

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@given(VALUES)
def test_json_comes_back_as_it_was(value: Any) -> None:
    """What is JSON is sent as it is, in UTF-8."""
    assert json.loads(encode(value)) == value


@pytest.mark.parametrize(
    "mapping", [MappingProxyType({"a": {"b": 1}}), UserDict({"a": UserDict({"b": 1})}), OrderedDict(a={"b": 1})]
)
def test_any_mapping_is_an_object(mapping: Any) -> None:
    """Mappings other than dict are sent as objects, inner ones too."""
    assert encode({"params": mapping}) == b'{"params":{"a":{"b":1}}}'


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({1, 2}, r"a set \(use a list\)"),
        (frozenset("a"), r"a frozenset \(use a list\)"),
        (b"abc", r"a bytes \(decode it"),
        (datetime.now(UTC), r"a datetime \(make it text"),
        (Path("x"), r"a \w*Path \(make it text"),
        (Decimal("1.5"), "a Decimal"),
        (1j, "a complex"),
        (object(), "an object"),
        (object, "a type"),
    ],
)
def test_a_value_of_another_type_is_named_by_its_path(wrong: object, message: str) -> None:
    """A value that JSON has no type for raises a TypeError with the path to it, its type, and what to do."""
    body = {"params": {"fine": [1, None], "items": [0, {}, "x", {"when": wrong}], "later": {2}}}
    with pytest.raises(TypeError, match=rf"^params\.items\[3\]\.when is not JSON: {message}"):
        encode(body)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        ("\ud800", "a text with lone surrogates"),
        pytest.param(10**5000, "an int of more digits", id="endless"),
        pytest.param(-(10**5000), "an int of more digits", id="endless and negative"),
    ],
)
def test_a_value_that_cannot_be_written_is_named_by_its_path(wrong: object, message: str) -> None:
    """NaN, the infinities, lone surrogates and endless integers raise a ValueError with the path to them."""
    with pytest.raises(ValueError, match=rf"^params\.items\[3\]\.when is not JSON: {message}"):
        encode({"params": {"items": [0, 1, 2, {"when": wrong}]}})


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({(1, 2): 3}, TypeError, "keys must be"),
        ({float("nan"): 3}, ValueError, "not JSON compliant"),
        ({"\udfff": 3}, ValueError, "lone surrogates"),
    ],
)
def test_a_wrong_key_is_named_by_its_object(wrong: object, kind: type[Exception], message: str) -> None:
    """A key that JSON cannot have is found by the path of the object that has it."""
    with pytest.raises(kind, match=rf"^params\[1\] is not JSON: .*{message}"):
        encode({"params": ({}, wrong)})


@pytest.mark.parametrize("wrong", [{1}, float("nan")])
def test_a_body_that_is_wrong_as_a_whole_says_so(wrong: object) -> None:
    """Without a path, the message speaks of the body."""
    with pytest.raises((TypeError, ValueError), match=r"^the body is not JSON"):
        encode(wrong)


def test_a_value_within_itself_is_refused() -> None:
    """A value that holds itself raises a ValueError with the path to where it comes back."""
    params: dict[str, Any] = {"more": []}
    params["more"].append(params)
    with pytest.raises(ValueError, match=r"^params\.more(\[0\])? is not JSON: Circular reference"):
        encode({"params": params})


@pytest.mark.parametrize("kind", [list, dict])
def test_a_value_nested_too_deep_is_refused(kind: type) -> None:
    """A value nested 100,000 deep raises a ValueError, and no RecursionError."""
    value: Any = None
    for _ in range(100_000):
        value = [value] if kind is list else {"a": value}
    with pytest.raises(ValueError, match="nested too deep"):
        encode({"params": value})


def test_a_wrong_value_below_many_others_is_found_soon() -> None:
    """The path is found among a hundred thousand values in about the time of a few encodings."""
    value: Any = {1}
    for _ in range(20):
        value = [*range(5_000), value]
    started = time.monotonic()
    with pytest.raises(TypeError, match=r"^params(\[5000\]){20} is not JSON: a set"):
        encode({"params": value})
    assert time.monotonic() - started < 2


@given(VALUES, st.sampled_from([{1}, b"", object()]), st.lists(st.sampled_from(["key", 0]), max_size=20))
def test_the_path_leads_to_the_value(fine: Any, wrong: object, steps: list[str | int]) -> None:
    """Wherever a wrong value stands, the path in the message is the one that leads to it."""
    value, path = wrong, ""
    for step in reversed(steps):
        value = {"fine": fine, "key": value} if step == "key" else [value, fine]
        path = (".key" if step == "key" else "[0]") + path
    with pytest.raises(TypeError) as caught:
        encode({"params": value})
    assert str(caught.value).startswith(f"params{path} is not JSON: ")
