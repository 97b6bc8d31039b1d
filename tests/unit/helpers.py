"""What several unit tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(kind: type[Exception], function: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Return the message of the error that a call raises; the test fails where it raises none."""
    try:
        result = function(*arguments, **named)
    except kind as error:
        return str(error)
    pytest.fail(f"not refused: {arguments!r:.200} {named!r:.200} gave {result!r:.200}")
