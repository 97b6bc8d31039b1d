"""What the errors of the client are on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from synapse_sdk import exceptions
from synapse_sdk.cli import show
from synapse_sdk.cli.failures import code_of, explain

CODES = {
    "ActionFailedError": 1,
    "AuthenticationError": 4,
    "AuthorizationError": 4,
    "ClientConnectionError": 5,
    "ClientError": 5,
    "ClientResponseIncompleteError": 5,
    "ClientResponseTimeoutError": 5,
    "ClientTimeoutError": 5,
    "ConflictError": 4,
    "GpuUnavailableError": 4,
    "HTTPError": 4,
    "InvalidResponseError": 5,
    "NotFoundError": 3,
    "PaginationError": 5,
    "RateLimitError": 4,
    "ResponseTooLargeError": 5,
    "ServerError": 1,
    "UntrustedOriginError": 4,
    "ValidationError": 4,
}


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_error_has_a_code_and_a_line(name: str) -> None:
    """Each error of the SDK has its exit code, and is one line even where its detail has many."""
    kind = getattr(exceptions, name)
    error = kind(599 if issubclass(kind, exceptions.HTTPError) else None, "first\nsecond\x1b[2J" + "x" * 10_000)
    failure = explain(error, "http://agent.example.com")
    assert (failure.code, code_of(error)) == (CODES[name], CODES[name])
    assert "first" in failure.message
    assert "\n" not in failure.message
    assert len(failure.message) < 500


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateways_say_that_the_agent_is_unreachable(status: int) -> None:
    """What a proxy answers in the place of an agent that is down counts as unreachable."""
    failure = explain(exceptions.ServerError(status, "busy"), "http://agent.example.com")
    assert failure.code == 5
    assert "http://agent.example.com" in failure.hint


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-31T11:59:59+00:00", "just now"),
        ("2026-01-31T11:58:59Z", "1 minute ago"),
        ("2026-01-31T10:00:00Z", "2 hours ago"),
        ("2026-01-30T12:00:00", "1 day ago"),
        ("2025-12-01T12:00:00Z", "2 months ago"),
        ("2020-01-31T12:00:00Z", "6 years ago"),
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z"),
        ("yesterday", "yesterday"),
        (None, "-"),
        (5, "5"),
        (["x"], '["x"]'),
    ],
)
def test_age(value: Any, expected: str) -> None:
    """A time of the past is told by its largest unit; what is none is shown as it is."""
    assert show.age(value, datetime(2026, 1, 31, 12, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    "release", [{}, {"id": None, "actions": 5, "size": "x"}, {"id": [1], "plugin": {"a": 1}, "size": -1, "created": 2}]
)
def test_any_release_is_shown(release: dict[str, Any]) -> None:
    """Whatever an agent sends as a release is shown, and never breaks the table."""
    assert all(isinstance(cell, str) for cell in show.release_row(release))
    assert {name for name, _ in show.release_fields(release)} == set(release)
