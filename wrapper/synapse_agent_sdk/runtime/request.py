"""Requests: what to send, and the type of the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_agent_sdk.runtime.options import Timeout

R = TypeVar("R")


class Request(NamedTuple, Generic[R]):
    """A request with a result of type R; it can be sent any number of times."""

    method: str
    url: str
    """Path relative to the agent's URL, percent-encoded, or an absolute URL."""
    result_type: type | None
    """Expected JSON type of the result; `object` for any, None for no result."""
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    """The body; None for no body."""
    replayable: bool = False
    """Whether it is safe to retry even if it may have been processed. Other requests may take hours."""
    timeout: Timeout | None = None
    job_id: str | None = None
    idempotency_key: str | None = None
