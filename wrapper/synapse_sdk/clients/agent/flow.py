"""The flow of one call: what to send, how long to wait, and what to make of what came back.

A flow is a generator. It yields a request and is given its response, or yields a number and is resumed after as many
seconds. Both flavours share it, and differ only in how they send and wait: it does neither by itself.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import httpx

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import answers, origins, retries
from synapse_sdk.clients.agent.network import ATTEMPT, Attempt
from synapse_sdk.clients.agent.retries import Fate

if TYPE_CHECKING:
    from synapse_sdk.clients.agent.operations import Call

R = TypeVar("R")
Flow: TypeAlias = Generator[httpx.Request | float, httpx.Response | None, R]

log = logging.getLogger("synapse_sdk")

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 307, 308})
REDIRECTS_WITH_BODY = frozenset({307, 308})
NOT_FOUND = 404


class TooLarge(Exception):  # noqa: N818 - a signal from the sender to the flow, which makes the error
    """A response was larger than the limit."""


FAILURES = (httpx.TransportError, httpx.DecodingError, TooLarge)
"""What a sender throws into a flow; anything else is no matter of the flow's."""


def exchange(
    call: Call[Any], request: httpx.Request, policy: retries.RetryPolicy, total: float | None
) -> Flow[httpx.Response]:
    """Send a request as often as the policy allows, and follow redirects within its origin.

    Args:
        call: The call that the request carries out.
        request: What to send.
        policy: What may be sent again, and when.
        total: Seconds that all of it may take, or None.

    Returns:
        A flow whose value is a success. It carries its body, and has no more to be read.

    Raises:
        ClientError: In one of its kinds, if there is no success.
    """
    started = time.monotonic()
    deadline = None if total is None else started + total
    tries = attempts = redirects = 0
    unreached_since: float | None = None
    may_have_been_carried_out = False
    while True:
        tries += 1
        attempt = Attempt(deadline, request.extensions.get("timeout", {}).get("connect"))
        request.extensions[ATTEMPT] = attempt
        begun = time.monotonic()
        retry_after = None
        try:
            response = cast("httpx.Response", (yield request))
        except FAILURES as failure:
            fate = retries.fate_of_failure(failure, attempt)
            outcome = type(failure).__name__
            error = _failure(call, request, failure, fate)
            error.__cause__ = failure
        else:
            outcome = str(response.status_code)
            if response.status_code in REDIRECTS and redirects < MAX_REDIRECTS and _may_follow(call, response):
                redirects += 1
                request = _redirected(request, response)
                continue
            if response.is_success:
                _log(call, request, outcome, begun, tries)
                return response
            if may_have_been_carried_out and call.method == "DELETE" and response.status_code == NOT_FOUND:
                _log(call, request, "404, so an earlier attempt deleted it", begun, tries)
                return httpx.Response(204, request=request)
            error = answers.error(call, response)
            fate = retries.fate_of_status(response.status_code, error.error_type)
            retry_after = retries.parse_retry_after(response.headers.get("retry-after"))
        _log(call, request, outcome, begun, tries)
        now = time.monotonic()
        if fate is Fate.NOT_SENT:
            if attempt.reused:
                continue  # an idle connection was found closed: the next one takes its place, whatever the policy
            unreached_since = begun if unreached_since is None else unreached_since
        else:
            attempts += 1
            unreached_since = None
            may_have_been_carried_out = may_have_been_carried_out or fate is Fate.UNKNOWN
        wait = retries.wait_before_next(
            policy,
            fate,
            is_run=call.is_run,
            tries=tries,
            attempts=attempts,
            unreached=0.0 if unreached_since is None else now - unreached_since,
            left=None if deadline is None else deadline - now,
            retry_after=retry_after,
            random=random.random(),  # noqa: S311 - jitter
        )
        if wait is None:
            error.attempts = tries
            raise error
        log.info("%s %s: %s, trying again in %.2f s", call.method, request.url.path, outcome, wait)
        yield wait


def run(steps: Flow[R], send: Callable[[httpx.Request], httpx.Response], sleep: Callable[[float], object]) -> R:
    """Carry out a flow, and return its value."""
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


async def run_async(
    steps: Flow[R],
    send: Callable[[httpx.Request], Awaitable[httpx.Response]],
    sleep: Callable[[float], Awaitable[object]],
) -> R:
    """Carry out a flow, and return its value."""
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


def _may_follow(call: Call[Any], response: httpx.Response) -> bool:
    """Whether a redirect is followed: never one that would turn a POST into a GET of something else."""
    repeats = call.method in {"GET", "DELETE"} or response.status_code in REDIRECTS_WITH_BODY
    return repeats and "location" in response.headers


def _redirected(request: httpx.Request, response: httpx.Response) -> httpx.Request:
    url = origins.follow(response.headers["location"], request.url)
    return httpx.Request(
        request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
    )


def _failure(call: Call[Any], request: httpx.Request, failure: Exception, fate: Fate) -> exceptions.ClientError:
    """The error that a request without an answer ends in."""
    what = answers.describe(call, request.url)
    cause = str(failure) or type(failure).__name__
    if isinstance(failure, TooLarge):
        return exceptions.ResponseTooLargeError(detail=cause, message=f"{what}: {cause}")
    if isinstance(failure, httpx.DecodingError):
        return exceptions.InvalidResponseError(detail=cause, message=f"{what}: the answer does not decode: {cause}")
    timed_out = isinstance(failure, httpx.TimeoutException)
    kind: type[exceptions.ClientError]
    if fate is not Fate.UNKNOWN:
        kind = exceptions.ClientTimeoutError if timed_out else exceptions.ClientConnectionError
        return kind(detail=cause, message=f"{what}: nothing was sent, the agent could not be reached ({cause})")
    if call.method == "GET":
        kind = exceptions.ClientTimeoutError if timed_out else exceptions.ClientConnectionError
        return kind(detail=cause, message=f"{what}: no answer ({cause})")
    kind = exceptions.ClientResponseTimeoutError if timed_out else exceptions.ClientResponseIncompleteError
    consequence = answers.unknown_fate(call) if call.is_run else "it may have been carried out."
    return kind(detail=cause, message=f"{what}: no answer ({cause}), but {consequence}")


def _log(call: Call[Any], request: httpx.Request, outcome: str, begun: float, tries: int) -> None:
    if log.isEnabledFor(logging.DEBUG):
        milliseconds = (time.monotonic() - begun) * 1000
        log.debug("%s %s: %s in %.1f ms, attempt %d", call.method, request.url.path, outcome, milliseconds, tries)
