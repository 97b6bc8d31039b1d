"""The exchange for one request: sending, retries, redirects and errors.

An exchange is a generator. It yields an httpx request to receive its response, or a number of seconds to sleep. Sync
and async share it; they differ only in how they send and sleep.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import httpx

from synapse_agent_sdk import exceptions
from synapse_agent_sdk.runtime.errors import ATTEMPTS, describe, error_from, summary
from synapse_agent_sdk.runtime.origins import resolve_link
from synapse_agent_sdk.runtime.response import FAILURES, ResponseTooLarge
from synapse_agent_sdk.runtime.retry import (
    Delivery,
    RetryPolicy,
    delivery_of_failure,
    delivery_of_status,
    parse_retry_after,
    wait_before_next,
)
from synapse_agent_sdk.runtime.transport.attempt import ATTEMPT, Attempt

if TYPE_CHECKING:
    from synapse_agent_sdk.runtime.request import Request

R = TypeVar("R")
Exchange: TypeAlias = Generator[httpx.Request | float, httpx.Response | None, R]

log = logging.getLogger("synapse_agent_sdk")

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 307, 308})
REDIRECTS_WITH_BODY = frozenset({307, 308})
NOT_FOUND = 404


def exchange(
    request: Request[Any], http_request: httpx.Request, policy: RetryPolicy, total: float | None
) -> Exchange[httpx.Response]:
    """Send a request, with retries, and follow redirects within its origin.

    Args:
        request: The request.
        http_request: The HTTP request to send.
        policy: The retry policy.
        total: Total timeout in seconds, or None.

    Returns:
        An exchange whose value is a successful response, with its body read.

    Raises:
        ClientError: If the request fails.
    """
    started = time.monotonic()
    deadline = None if total is None else started + total
    state = RetryState()
    redirects = 0
    while True:
        state.tries += 1
        attempt = Attempt(deadline, http_request.extensions.get("timeout", {}).get("connect"))
        http_request.extensions[ATTEMPT] = attempt
        begun = time.monotonic()
        try:
            response = cast("httpx.Response", (yield http_request))
        except FAILURES as failure:
            error, delivery = _failed(request, http_request, failure, attempt)
            _log(http_request, type(failure).__name__, begun, state)
        else:
            status = response.status_code
            if log.isEnabledFor(logging.DEBUG):
                _log(http_request, status, begun, state)
            if status in REDIRECTS and redirects < MAX_REDIRECTS and _is_followed(http_request, response):
                redirects += 1
                state.tries -= 1  # a redirect does not count as an attempt
                http_request = _redirected(http_request, response)
                continue
            if state.is_unknown and request.method == "DELETE" and status == NOT_FOUND:
                response = httpx.Response(204, request=http_request)  # an earlier attempt deleted it
            if response.is_success:
                response.extensions[ATTEMPTS] = state.tries
                return response
            error = error_from(request, response)
            delivery = delivery_of_status(status, error.error_type)
        if delivery is Delivery.NOT_SENT and attempt.reused:
            continue  # an idle connection was closed: use another one, regardless of the policy
        wait = state.wait(policy, delivery, error, begun, deadline, replayable=request.replayable)
        if wait is None:
            raise _final(error, request, state)
        why = error.status_code or type(error.__cause__).__name__
        log.info("%s %s: %s, retrying in %.2f s", http_request.method, _path(http_request), why, wait)
        yield wait


@dataclass(slots=True)
class RetryState:
    """The outcome of all attempts at one request so far."""

    tries: int = 0
    """Number of attempts."""
    attempts: int = 0
    """Number of attempts that were sent."""
    unreached_since: float | None = None
    """When the agent became unreachable."""
    is_unknown: bool = False
    """Whether the outcome of any attempt is unknown."""

    def wait(
        self,
        policy: RetryPolicy,
        delivery: Delivery,
        error: exceptions.ClientError,
        begun: float,
        deadline: float | None,
        *,
        replayable: bool,
    ) -> float | None:
        """Record an attempt, and return the seconds to wait before the next one, or None to give up."""
        now = time.monotonic()
        if delivery is Delivery.NOT_SENT:
            self.unreached_since = begun if self.unreached_since is None else self.unreached_since
        else:
            self.attempts += 1
            self.unreached_since = None
            self.is_unknown = self.is_unknown or delivery is Delivery.UNKNOWN
        return wait_before_next(
            policy,
            delivery,
            replayable=replayable,
            tries=self.tries,
            attempts=self.attempts,
            unreached=0.0 if self.unreached_since is None else now - self.unreached_since,
            left=None if deadline is None else deadline - now,
            retry_after=parse_retry_after(error.headers.get("retry-after")),
            random=random.random(),  # noqa: S311 - jitter
        )


def drive(steps: Exchange[R], send: Callable[[httpx.Request], httpx.Response], sleep: Callable[[float], object]) -> R:
    """Run an exchange and return its value."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, httpx.Request):
                try:
                    response = send(step)
                except FAILURES as failure:
                    step = steps.throw(failure)
                else:
                    step = steps.send(response)
            else:
                sleep(step)
                step = next(steps)
    except StopIteration as end:
        return cast("R", end.value)
    finally:
        steps.close()


async def drive_async(
    steps: Exchange[R],
    send: Callable[[httpx.Request], Awaitable[httpx.Response]],
    sleep: Callable[[float], Awaitable[object]],
) -> R:
    """Run an exchange and return its value."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, httpx.Request):
                try:
                    response = await send(step)
                except FAILURES as failure:
                    step = steps.throw(failure)
                else:
                    step = steps.send(response)
            else:
                await sleep(step)
                step = next(steps)
    except StopIteration as end:
        return cast("R", end.value)
    finally:
        steps.close()


def _is_followed(http_request: httpx.Request, response: httpx.Response) -> bool:
    """Whether to follow a redirect; never if that would turn a POST into a GET."""
    statuses = REDIRECTS_WITH_BODY if http_request.method == "POST" else REDIRECTS
    return response.status_code in statuses and "location" in response.headers


def _redirected(http_request: httpx.Request, response: httpx.Response) -> httpx.Request:
    url = resolve_link(response.headers["location"], http_request.url)
    return httpx.Request(
        http_request.method,
        url,
        headers=http_request.headers,
        stream=http_request.stream,
        extensions=http_request.extensions,
    )


def _failed(
    request: Request[Any], http_request: httpx.Request, failure: Exception, attempt: Attempt
) -> tuple[exceptions.ClientError, Delivery]:
    """The error for a request without a response, and its delivery."""
    delivery = delivery_of_failure(failure, attempt)
    error = _error(request, http_request, failure, delivery)
    error.__cause__ = failure
    return error, delivery


def _error(
    request: Request[Any], http_request: httpx.Request, failure: Exception, delivery: Delivery
) -> exceptions.ClientError:
    target = describe(request, http_request.url)
    cause = str(failure) or type(failure).__name__
    if isinstance(failure, ResponseTooLarge):
        return exceptions.ResponseTooLargeError(detail=cause, message=f"{target}: {cause}")
    if isinstance(failure, httpx.DecodingError):
        return exceptions.InvalidResponseError(detail=cause, message=f"{target}: cannot decode the response: {cause}")
    timed_out = isinstance(failure, httpx.TimeoutException)
    if delivery is Delivery.UNKNOWN and request.method != "GET":
        incomplete = exceptions.ClientResponseTimeoutError if timed_out else exceptions.ClientResponseIncompleteError
        return incomplete(detail=cause, message=f"{target}: no response ({cause})")
    kind = exceptions.ClientTimeoutError if timed_out else exceptions.ClientConnectionError
    why = "no response" if delivery is Delivery.UNKNOWN else "could not reach the agent, nothing was sent"
    return kind(detail=cause, message=f"{target}: {why} ({cause})")


def _final(error: exceptions.ClientError, request: Request[Any], state: RetryState) -> exceptions.ClientError:
    """The error to raise, with the outcome of all attempts."""
    error.attempts = state.tries
    if state.is_unknown and request.method != "GET":
        error.args = (f"{error}; {_consequence(request)}",)
    return error


def _consequence(request: Request[Any]) -> str:
    """A warning that a request may have been processed."""
    if not request.replayable:
        job_id = summary(request.job_id) if request.job_id is not None else None
        return f"the action may be running. Job id: {job_id!s:.200}, idempotency key: {request.idempotency_key}"
    return "the request may have been processed: check before retrying"


def _path(http_request: httpx.Request) -> str:
    """The path, percent-encoded so that it cannot forge log lines."""
    return http_request.url.raw_path.partition(b"?")[0].decode("ascii")


def _log(http_request: httpx.Request, outcome: int | str, begun: float, state: RetryState) -> None:
    milliseconds = (time.monotonic() - begun) * 1000
    log.debug(
        "%s %s: %s in %.1f ms, attempt %d",
        http_request.method,
        _path(http_request),
        outcome,
        milliseconds,
        state.tries,
    )
