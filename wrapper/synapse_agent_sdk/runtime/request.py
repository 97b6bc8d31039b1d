"""A request as the rooms above the runtime make it: what to send, and what a success carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_agent_sdk.runtime.options import Timeout

R = TypeVar("R")


class Request(NamedTuple, Generic[R]):
    """One call that has an R as its result, ready to be sent any number of times."""

    method: str
    url: str
    """Path below the agent's URL, percent-encoded, or a whole URL."""
    result_type: type | None
    """The kind of JSON that a success carries; None where it carries nothing, `object` where anything."""
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    json: Any = None
    """The body, unless it is None."""
    replayable: bool = False
    """Whether it is safe to send again when it may have been carried out. What is not may take hours."""
    timeout: Timeout | None = None
    job_id: str | None = None
    idempotency_key: str | None = None
