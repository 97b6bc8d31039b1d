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
from synapse_sdk.clients.agent.attempt import ATTEMPT, Attempt
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
    history = History()
    redirects = 0
    while True:
        history.tries += 1
        attempt = Attempt(deadline, request.extensions.get("timeout", {}).get("connect"))
        request.extensions[ATTEMPT] = attempt
        begun = time.monotonic()
        try:
            response = cast("httpx.Response", (yield request))
        except FAILURES as failure:
            error, fate = _failed(call, request, failure, attempt)
            _log(request, type(failure).__name__, begun, history)
        else:
            _log(request, response.status_code, begun, history)
            if redirects < MAX_REDIRECTS and _is_followed(request, response):
                redirects += 1
                history.tries -= 1  # it was answered, and goes on
                request = _redirected(request, response)
                continue
            if history.is_unknown and call.method == "DELETE" and response.status_code == NOT_FOUND:
                response = httpx.Response(204, request=request)  # an earlier attempt deleted it
            if response.is_success:
                response.extensions[answers.ATTEMPTS] = history.tries
                return response
            error = answers.error(call, response)
            fate = retries.fate_of_status(response.status_code, error.error_type)
        if fate is Fate.NOT_SENT and attempt.reused:
            continue  # an idle connection was found closed: the next one takes its place, whatever the policy
        wait = history.wait(policy, fate, error, begun, deadline, is_run=call.is_run)
        if wait is None:
            error.attempts = history.tries
            if history.is_unknown and call.method != "GET":
                error.args = (f"{error}, but {_consequence(call)}",)
            raise error
        why = error.status_code or type(error.__cause__).__name__
        log.info("%s %s: %s, trying again in %.2f s", request.method, _path(request), why, wait)
        yield wait


class History:
    """What became of the attempts of one call so far."""

    __slots__ = ("attempts", "is_unknown", "tries", "unreached_since")

    def __init__(self) -> None:
        self.tries = 0
        """How many attempts there were."""
        self.attempts = 0
        """How many of them left this machine."""
        self.unreached_since: float | None = None
        """Since when the agent cannot be reached."""
        self.is_unknown = False
        """Whether one of them may have been carried out."""

    def wait(
        self,
        policy: retries.RetryPolicy,
        fate: Fate,
        error: exceptions.ClientError,
        begun: float,
        deadline: float | None,
        *,
        is_run: bool,
    ) -> float | None:
        """How long to wait after another attempt, or None where it was the last."""
        now = time.monotonic()
        if fate is Fate.NOT_SENT:
            self.unreached_since = begun if self.unreached_since is None else self.unreached_since
        else:
            self.attempts += 1
            self.unreached_since = None
            self.is_unknown = self.is_unknown or fate is Fate.UNKNOWN
        return retries.wait_before_next(
            policy,
            fate,
            is_run=is_run,
            tries=self.tries,
            attempts=self.attempts,
            unreached=0.0 if self.unreached_since is None else now - self.unreached_since,
            left=None if deadline is None else deadline - now,
            retry_after=retries.parse_retry_after(error.headers.get("retry-after")),
            random=random.random(),  # noqa: S311 - jitter
        )


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
    finally:
        steps.close()


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
    finally:
        steps.close()


def _is_followed(request: httpx.Request, response: httpx.Response) -> bool:
    """Whether an answer is a redirect to follow: never one that would turn a POST into a GET of something else."""
    statuses = REDIRECTS_WITH_BODY if request.method == "POST" else REDIRECTS
    return response.status_code in statuses and "location" in response.headers


def _redirected(request: httpx.Request, response: httpx.Response) -> httpx.Request:
    url = origins.follow(response.headers["location"], request.url)
    return httpx.Request(
        request.method, url, headers=request.headers, stream=request.stream, extensions=request.extensions
    )


def _failed(
    call: Call[Any], request: httpx.Request, failure: Exception, attempt: Attempt
) -> tuple[exceptions.ClientError, Fate]:
    """The error that a request without an answer ends in, and what became of the request."""
    fate = retries.fate_of_failure(failure, attempt)
    error = _error(call, request, failure, fate)
    error.__cause__ = failure
    return error, fate


def _error(call: Call[Any], request: httpx.Request, failure: Exception, fate: Fate) -> exceptions.ClientError:
    what = answers.describe(call, request.url)
    cause = str(failure) or type(failure).__name__
    if isinstance(failure, TooLarge):
        return exceptions.ResponseTooLargeError(detail=cause, message=f"{what}: {cause}")
    if isinstance(failure, httpx.DecodingError):
        return exceptions.InvalidResponseError(detail=cause, message=f"{what}: the answer does not decode: {cause}")
    timed_out = isinstance(failure, httpx.TimeoutException)
    if fate is Fate.UNKNOWN and call.method != "GET":
        incomplete = exceptions.ClientResponseTimeoutError if timed_out else exceptions.ClientResponseIncompleteError
        return incomplete(detail=cause, message=f"{what}: no answer ({cause})")
    kind = exceptions.ClientTimeoutError if timed_out else exceptions.ClientConnectionError
    why = "no answer" if fate is Fate.UNKNOWN else "nothing was sent, the agent could not be reached"
    return kind(detail=cause, message=f"{what}: {why} ({cause})")


def _consequence(call: Call[Any]) -> str:
    """What to tell the caller where nobody knows whether a call was carried out."""
    if call.is_run:
        job_id = answers.summary(call.job_id) if call.job_id is not None else None
        return f"the action may be running. Job id: {job_id!s:.200}, idempotency key: {call.idempotency_key}"
    return "it may have been carried out"


def _path(request: httpx.Request) -> str:
    """The path, percent-encoded, so that it cannot forge a line of a log."""
    return request.url.raw_path.partition(b"?")[0].decode("ascii")


def _log(request: httpx.Request, outcome: int | str, begun: float, history: History) -> None:
    if log.isEnabledFor(logging.DEBUG):
        milliseconds = (time.monotonic() - begun) * 1000
        log.debug(
            "%s %s: %s in %.1f ms, attempt %d", request.method, _path(request), outcome, milliseconds, history.tries
        )
