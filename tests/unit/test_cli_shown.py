"""How the command line shows errors, ages, releases and tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from synapse_agent_sdk import exceptions
from synapse_agent_sdk.cli import show
from synapse_agent_sdk.cli.failures import explain
from synapse_agent_sdk.cli.tables import lines

URL = "http://agent.example.com"
CODES = {
    1: {"ActionFailedError", "ServerError"},
    3: {"NotFoundError"},
    4: {"AuthenticationError", "AuthorizationError", "ConflictError", "GpuUnavailableError", "HTTPError"}
    | {"RateLimitError", "UntrustedOriginError", "ValidationError"},
    5: {"ClientConnectionError", "ClientError", "ClientResponseIncompleteError", "ClientResponseTimeoutError"}
    | {"ClientTimeoutError", "InvalidResponseError", "PaginationError", "ResponseTooLargeError"},
}
CELLS = st.text(st.characters(exclude_categories=["C", "M", "Z"]), max_size=40)


def test_every_error_has_a_code_and_a_line() -> None:
    """Each SDK error has an exit code and a one-line message, even if its detail has many lines."""
    codes: dict[int, set[str]] = {}
    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        error = kind(599 if issubclass(kind, exceptions.HTTPError) else None, "first\nsecond\x1b[2J" + "x" * 10_000)
        failure = explain(error, URL)
        codes.setdefault(failure.code, set()).add(name)
        assert ("first" in failure.message, "\n" in failure.message) == (True, False), name
        assert len(failure.message) < 500
    assert codes == CODES


def test_responses_that_no_agent_sends() -> None:
    """A proxy's response for an agent that is down counts as unreachable, and HTML is not shown."""
    for status in (502, 503, 504):
        failure = explain(exceptions.ServerError(status, "busy"), URL)
        assert (failure.code, URL in failure.hint) == (5, True), status
    failure = explain(exceptions.NotFoundError(404, "<html><h1>Oh no</h1></html>"), URL)
    assert failure.message == "The response (404) is an HTML page, which agents never send."
    assert (failure.code, f"Is {URL} the URL of an agent?" in failure.hint) == (3, True)


def test_timeouts_after_the_request_was_sent() -> None:
    """A timeout is called one even if the request was sent, and the hint says that it may have been processed."""
    failure = explain(exceptions.ClientResponseTimeoutError(None, "timed out"), URL)
    assert failure.message == "The agent did not respond in time: timed out"
    assert "may still have been processed" in failure.hint


def test_any_release_is_shown() -> None:
    """A past time is shown in its largest unit; any other value is shown as is."""
    expected = {
        "2026-01-31T11:59:59+00:00": "just now",
        "2026-01-31T11:58:59Z": "1 minute ago",
        "2026-01-30T12:00:00": "1 day ago",
        "2025-12-01T12:00:00Z": "2 months ago",
        "2026-02-01T00:00:00Z": "2026-02-01T00:00:00Z",
        "yesterday": "yesterday",
        None: "-",
    }
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert {value: show.age(value, now) for value in expected} == expected
    odd: dict[str, Any] = {"id": [1], "plugin": {"a": 1}, "size": -1, "created": 2}
    for release in ({}, {"id": None, "actions": 5, "size": "x"}, odd):
        assert all(isinstance(cell, str) for cell in show.release_row(release))
        assert {name for name, _ in show.release_fields(release)} == set(release)


def test_tables() -> None:
    """A table is as narrow as its cells; if too wide, the widest foldable column is folded."""
    rows = [["1", "text_stats", ""], ["22", "x\ny\tz", "now"]]
    fits = ["ID  PLUGIN      CREATED", "1   text_stats", "22  x y z       now"]
    assert list(lines(["ID", "PLUGIN", "CREATED"], rows, 60, frozenset())) == fits
    folded = ["ID  PLUGIN             VERSION", f"1   {'a' * 17}  1.0.0", f"    {'a' * 13}"]
    rows = [["1", "a" * 30, "1.0.0"]]
    assert list(lines(["ID", "PLUGIN", "VERSION"], rows, 30, frozenset({"ID"}))) == folded
    assert list(lines(["ID", "B"], [["1" * 50, "bb"]], 32, frozenset({"ID"})))[1].startswith("1" * 50)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5), st.integers(32, 120))
def test_any_cells_fit_and_are_whole(rows: list[tuple[str, str, str]], width: int) -> None:
    """Lines fit the width and keep every character, even with wide characters."""
    found = list(lines(["A", "B", "C"], rows, width, frozenset()))
    assert [line for line in found if cell_len(line) > width] == []
    assert sorted("".join(found).replace(" ", "")) == sorted("ABC" + "".join("".join(row) for row in rows))
