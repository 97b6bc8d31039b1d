"""The requests and responses of handlers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Call:
    """A valid request."""

    lookup: str
    query: dict[str, Any]
    """The declared query parameters."""
    filters: dict[str, str]
    """All other query parameters."""
    body: Any
    url: Callable[[], str]
    """Returns the full URL; a function because building it is slow."""
    key: str | None = None
    """The idempotency key."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response: its status and JSON body."""

    status: int
    body: Any = None
    """A JSON value, or encoded JSON as bytes."""


class ApiError(Exception):
    """An error response: its status and the contract's `detail`."""

    def __init__(
        self, status: int, detail: Any, error_type: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body = {"detail": detail} if error_type is None else {"detail": detail, "error_type": error_type}


def no_release(lookup: str) -> ApiError:
    """The 404 for an unknown release."""
    return ApiError(404, f"There is no release {lookup}.")
