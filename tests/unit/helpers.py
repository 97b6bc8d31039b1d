"""Helpers for unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

STRINGS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def json_values(
    strings: st.SearchStrategy[str] = STRINGS, keys: st.SearchStrategy[str] = STRINGS
) -> st.SearchStrategy[Any]:
    """Any JSON value, with these strings and keys."""
    return st.recursive(SCALARS | strings, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=12)


def refusal(kind: type[Exception], function: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Return the message of the error that a call raises; fail the test if it raises nothing."""
    try:
        result = function(*arguments, **named)
    except kind as error:
        return str(error)
    pytest.fail(f"not refused: {arguments!r:.200} {named!r:.200} gave {result!r:.200}")
