"""The page of promises is what the tests of the client promise."""

from __future__ import annotations

import pytest

from tools import promises


@pytest.mark.heavy
def test_the_page_of_promises_is_current() -> None:
    """The page has every promise of the tests on the wire, as they stand."""
    assert promises.PAGE.read_text(encoding="utf-8") == promises.page(), "run `make promises`"
