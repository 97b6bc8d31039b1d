"""What several unit tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def json_values(texts: st.SearchStrategy[str] = TEXTS, keys: st.SearchStrategy[str] = TEXTS) -> st.SearchStrategy[Any]:
    """Any JSON, with strings and keys of these kinds."""
    return st.recursive(SCALARS | texts, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=12)


def refusal(kind: type[Exception], function: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Return the message of the error that a call raises; the test fails where it raises none."""
    try:
        result = function(*arguments, **named)
    except kind as error:
        return str(error)
    pytest.fail(f"not refused: {arguments!r:.200} {named!r:.200} gave {result!r:.200}")
