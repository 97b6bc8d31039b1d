"""Request bodies are JSON, and errors have the path of an invalid value."""

from __future__ import annotations

import json
from collections import OrderedDict, UserDict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synapse_agent_sdk.runtime.json_body import ENCODER, json_error

from tests.unit.helpers import json_values, refusal


def encode_json(body: Any) -> bytes:
    """Encode a body, or raise its error."""
    try:
        return ENCODER.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise json_error(body, error) from None


@settings(max_examples=50)
@given(json_values(), st.sampled_from([{1}, b"", object()]), st.lists(st.sampled_from(["key", 0]), max_size=20))
def test_json_is_sent_unchanged_and_other_values_are_located(fine: Any, wrong: object, steps: list[str | int]) -> None:
    """JSON is sent unchanged, in UTF-8; the error for any other value has its path."""
    assert json.loads(encode_json(fine)) == fine
    value, path = wrong, ""
    for step in reversed(steps):
        value = {"fine": fine, "key": value} if step == "key" else [value, fine]
        path = (".key" if step == "key" else "[0]") + path
    assert refusal(TypeError, encode_json, {"params": value}).startswith(f"params{path} is not JSON: ")


def test_any_mapping_is_an_object() -> None:
    """Any mapping, also nested, is sent as an object."""
    for mapping in (MappingProxyType({"a": {"b": 1}}), UserDict({"a": UserDict({"b": 1})}), OrderedDict(a={"b": 1})):
        assert encode_json({"params": mapping}) == b'{"params":{"a":{"b":1}}}'


WRONG: list[tuple[type[Exception], object, str]] = [
    (TypeError, {1, 2}, "a set (use a list)"),
    (TypeError, b"abc", "a bytes (decode it"),
    (TypeError, datetime.now(UTC), "a datetime (use a string"),
    (TypeError, object(), "an object"),
    (ValueError, float("nan"), "nan"),
    (ValueError, float("-inf"), "-inf"),
    (ValueError, "\ud800", "a string with lone surrogates"),
    (ValueError, -(10**5000), "an int with more digits"),
    (TypeError, {(1, 2): 3}, "keys must be"),
    (ValueError, {float("nan"): 3}, "not JSON compliant"),
    (ValueError, {"\udfff": 3}, "lone surrogates"),
]


def test_an_invalid_value_is_located_by_path() -> None:
    """An invalid value or key raises an error with its path, its type and a hint."""
    assert refusal(TypeError, encode_json, {1}).startswith("the body is not JSON: ")
    for kind, wrong, said in WRONG:
        body = {"params": {"fine": [1, None], "items": (0, {}, "x", {"when": wrong}), "later": wrong}}
        message = refusal(kind, encode_json, body)
        assert message.startswith("params.items[3].when is not JSON: ")
        assert said in message
    assert refusal(ValueError, encode_json, {"text": "\ud800", "set": {1}}).startswith(
        "text is not JSON: a string with lone surrogates"
    )


def test_circular_or_deeply_nested_values_are_rejected() -> None:
    """A value that contains itself, or is nested 100,000 deep, raises a ValueError, not a RecursionError."""
    params: dict[str, Any] = {"more": []}
    params["more"].append(params)
    with pytest.raises(ValueError, match=r"^params\.more(\[0\])? is not JSON: Circular reference"):
        encode_json({"params": params})
    lists: Any = None
    dicts: Any = None
    for _ in range(100_000):
        lists, dicts = [lists], {"a": dicts}
    for value in (lists, dicts):
        assert "nested too deeply" in refusal(ValueError, encode_json, {"params": value})
