"""What a handler is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Call:
    """A request that the contract found valid."""

    lookup: str
    query: dict[str, Any]
    """The parameters that the contract declares."""
    filters: dict[str, str]
    """The parameters beside them."""
    body: Any
    url: Callable[[], str]
    """Gives the whole URL, which takes a while to put together."""
    key: str | None = None
    """The idempotency key."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An answer: its status, and its body as JSON."""

    status: int
    body: Any = None
    """As Python has it, or as the bytes that are sent."""


class ApiError(Exception):
    """An answer other than success: its status, and what is wrong as the contract's `detail`."""

    def __init__(
        self, status: int, detail: Any, error_type: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.body = {"detail": detail} if error_type is None else {"detail": detail, "error_type": error_type}


def no_release(lookup: str) -> ApiError:
    """The answer where a lookup has no release."""
    return ApiError(404, f"There is no release {lookup}.")
