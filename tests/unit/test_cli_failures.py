"""What the errors of the client are on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from synapse_agent_sdk import exceptions
from synapse_agent_sdk.cli import show
from synapse_agent_sdk.cli.failures import code_of, explain

CODES = {
    1: {"ActionFailedError", "ServerError"},
    3: {"NotFoundError"},
    4: {"AuthenticationError", "AuthorizationError", "ConflictError", "GpuUnavailableError", "HTTPError"}
    | {"RateLimitError", "UntrustedOriginError", "ValidationError"},
    5: {"ClientConnectionError", "ClientError", "ClientResponseIncompleteError", "ClientResponseTimeoutError"}
    | {"ClientTimeoutError", "InvalidResponseError", "PaginationError", "ResponseTooLargeError"},
}


def test_every_error_has_a_code_and_a_line() -> None:
    """Each error of the SDK has its exit code, and is one line even where its detail has many."""
    codes: dict[int, set[str]] = {}
    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        error = kind(599 if issubclass(kind, exceptions.HTTPError) else None, "first\nsecond\x1b[2J" + "x" * 10_000)
        failure = explain(error, "http://agent.example.com")
        codes.setdefault(failure.code, set()).add(name)
        assert code_of(error) == failure.code
        assert "first" in failure.message, name
        assert "\n" not in failure.message, name
        assert len(failure.message) < 500
    assert codes == CODES


def test_gateways_say_that_the_agent_is_unreachable() -> None:
    """A proxy's response in place of an agent that is down counts as unreachable."""
    for status in (502, 503, 504):
        failure = explain(exceptions.ServerError(status, "busy"), "http://agent.example.com")
        assert (failure.code, "http://agent.example.com" in failure.hint) == (5, True), status


def test_age() -> None:
    """A time in the past is told by its largest unit; any other value is shown as it is."""
    expected = {
        "2026-01-31T11:59:59+00:00": "just now",
        "2026-01-31T11:58:59Z": "1 minute ago",
        "2026-01-31T10:00:00Z": "2 hours ago",
        "2026-01-30T12:00:00": "1 day ago",
        "2025-12-01T12:00:00Z": "2 months ago",
        "2026-02-01T00:00:00Z": "2026-02-01T00:00:00Z",
        "yesterday": "yesterday",
        None: "-",
        5: "5",
    }
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert {value: show.age(value, now) for value in expected} == expected


def test_any_release_is_shown() -> None:
    """Whatever an agent sends as a release is shown, and never breaks the table."""
    odd: dict[str, Any] = {"id": [1], "plugin": {"a": 1}, "size": -1, "created": 2}
    for release in ({}, {"id": None, "actions": 5, "size": "x"}, odd):
        assert all(isinstance(cell, str) for cell in show.release_row(release))
        assert {name for name, _ in show.release_fields(release)} == set(release)
