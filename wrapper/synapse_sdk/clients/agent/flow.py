"""The flow of one call: what to send, and what to make of what came back.

A flow is a generator that yields requests and is given their responses, so that both flavours share every decision
and differ only in how they send. It neither waits nor touches the network itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import httpx

from synapse_sdk import exceptions
from synapse_sdk.clients.agent import answers

if TYPE_CHECKING:
    from synapse_sdk.clients.agent.operations import Call

R = TypeVar("R")
Flow: TypeAlias = Generator[httpx.Request, httpx.Response, R]


def exchange(call: Call[R], build: Callable[[Call[R]], httpx.Request]) -> Flow[R]:
    """Send a call and read its answer.

    Args:
        call: What to send.
        build: Makes the request, with the client's URL, headers and timeouts.

    Returns:
        A flow whose value is the call's result.

    Raises:
        ClientError: In one of its kinds, if the call did not succeed.
    """
    request = build(call)
    try:
        response = yield request
    except httpx.TransportError as failure:
        raise _failure(call, request, failure) from failure
    return answers.read(call, response)


def run(steps: Flow[R], send: Callable[[httpx.Request], httpx.Response]) -> R:
    """Carry out a flow, and return its value."""
    try:
        request = next(steps)
        while True:
            try:
                response = send(request)
            except httpx.TransportError as failure:
                request = steps.throw(failure)
            else:
                request = steps.send(response)
    except StopIteration as end:
        return cast("R", end.value)


async def run_async(steps: Flow[R], send: Callable[[httpx.Request], Awaitable[httpx.Response]]) -> R:
    """Carry out a flow, and return its value."""
    try:
        request = next(steps)
        while True:
            try:
                response = await send(request)
            except httpx.TransportError as failure:
                request = steps.throw(failure)
            else:
                request = steps.send(response)
    except StopIteration as end:
        return cast("R", end.value)


def _failure(call: Call[Any], request: httpx.Request, failure: httpx.TransportError) -> exceptions.ClientError:
    """The error that a failure of the transport stands for."""
    what = answers.describe(call, request.url)
    cause = str(failure) or type(failure).__name__
    if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol):
        message = f"{what}: nothing was sent, the agent could not be reached ({cause})"
        timed_out = isinstance(failure, httpx.TimeoutException)
        kind = exceptions.ClientTimeoutError if timed_out else exceptions.ClientConnectionError
        return kind(detail=cause, message=message)
    if call.is_run:
        message = (
            f"{what}: no answer ({cause}), but the action may be running. "
            f"Job id: {call.job_id}, idempotency key: {call.idempotency_key}"
        )
        if isinstance(failure, httpx.TimeoutException):
            return exceptions.ClientResponseTimeoutError(detail=cause, message=message)
        return exceptions.ClientResponseIncompleteError(detail=cause, message=message)
    if isinstance(failure, httpx.TimeoutException):
        return exceptions.ClientTimeoutError(detail=cause, message=f"{what}: no answer in time ({cause})")
    return exceptions.ClientResponseIncompleteError(detail=cause, message=f"{what}: the connection broke ({cause})")
