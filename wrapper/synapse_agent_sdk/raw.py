"""Behind the value: what an answer was like, beside what it carried.

`with_raw_response` is built as generated SDKs build it, one line an operation: the line wraps the function of
`operations` that makes the call, so that its parameters, and the type of its result, are those of the operation.
"""

from __future__ import annotations

import functools
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, cast

from synapse_sdk.clients.agent import answers, operations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    import httpx
    from synapse_agent_api.typed_dicts import PluginReleasePage

    from synapse_sdk.clients.agent.flow import Flow
    from synapse_sdk.clients.agent.operations import Call

    Exchange = Callable[[Call[Any]], Flow[httpx.Response]]

P = ParamSpec("P")
R = TypeVar("R")


class RawResponse(Generic[R]):
    """An answer to a call that succeeded, behind its value; `with_raw_response` of a client gives it.

    Args:
        call: The call that it answers.
        response: The answer.
        elapsed: How long the call took.

    Attributes:
        status_code: Status of the answer. A deletion that was sent again, and found the release gone, is a 204.
        headers: Its headers, by their names in any case, without the secrets that were sent.
        content: Its body as the agent sent it, decompressed.
        elapsed: Time from the call to the end of the answer: all attempts, waits and redirects of it.
        attempts: How many attempts were made, as errors count them; redirects are none.

    Example:
        >>> response = client.with_raw_response.get_plugin_release("text_stats@1.0.0")
        >>> response.status_code, response.headers["content-type"], response.attempts
        (200, 'application/json', 1)
        >>> response.parse()["version"]
        '1.0.0'
    """

    def __init__(self, call: Call[R], response: httpx.Response, elapsed: timedelta) -> None:
        self._call = call
        self._response = response
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = answers.headers(response)
        self.content = response.content
        self.elapsed = elapsed
        self.attempts = answers.attempts(response)

    @property
    def request_id(self) -> str | None:
        """The answer's `X-Request-ID`, where it had one."""
        return self.headers.get("x-request-id")

    def parse(self) -> R:
        """Read the value, which the method itself would have returned; each time anew.

        Returns:
            The value.

        Raises:
            InvalidResponseError: If the body is not what the contract promises.

        Example:
            >>> client.with_raw_response.health_check().parse()["status"]
            'ok'
        """
        return answers.read(self._call, self._response)

    def __repr__(self) -> str:
        what = answers.describe(self._call, self._response.url)
        return f"<{type(self).__name__} {what} -> {self.status_code}, attempts={self.attempts}>"


class WithRawResponse:
    """The operations of `AgentClient`, each with its raw response; errors are raised as ever."""

    def __init__(self, run: Callable[[Flow[Any]], Any], exchange: Exchange) -> None:
        def raw(operation: Callable[P, Call[R]]) -> Callable[P, RawResponse[R]]:
            @functools.wraps(operation)
            def method(*args: P.args, **kwargs: P.kwargs) -> RawResponse[R]:
                return cast("RawResponse[R]", run(_respond(exchange, operation(*args, **kwargs))))

            return method

        self.health_check = raw(operations.health_check)
        self.list_plugin_releases = raw(_one_page)
        self.get_plugin_release = raw(operations.get_plugin_release)
        self.create_plugin_release = raw(operations.create_plugin_release)
        self.delete_plugin_release = raw(operations.delete_plugin_release)
        self.run_plugin_release = raw(operations.run_plugin_release)
        self.run_debug_plugin_release = raw(operations.run_debug_plugin_release)


class AsyncWithRawResponse:
    """The operations of `AsyncAgentClient`, each with its raw response; errors are raised as ever."""

    def __init__(self, run: Callable[[Flow[Any]], Awaitable[Any]], exchange: Exchange) -> None:
        def raw(operation: Callable[P, Call[R]]) -> Callable[P, Coroutine[Any, Any, RawResponse[R]]]:
            @functools.wraps(operation)
            async def method(*args: P.args, **kwargs: P.kwargs) -> RawResponse[R]:
                return cast("RawResponse[R]", await run(_respond(exchange, operation(*args, **kwargs))))

            return method

        self.health_check = raw(operations.health_check)
        self.list_plugin_releases = raw(_one_page)
        self.get_plugin_release = raw(operations.get_plugin_release)
        self.create_plugin_release = raw(operations.create_plugin_release)
        self.delete_plugin_release = raw(operations.delete_plugin_release)
        self.run_plugin_release = raw(operations.run_plugin_release)
        self.run_debug_plugin_release = raw(operations.run_debug_plugin_release)


def _respond(exchange: Exchange, call: Call[R]) -> Flow[RawResponse[R]]:
    started = time.monotonic()
    response = yield from exchange(call)
    return RawResponse(call, response, timedelta(seconds=time.monotonic() - started))


def _one_page(params: Mapping[str, Any] | None = None, *, list_all: Literal[False] = False) -> Call[PluginReleasePage]:
    """The call of one page: a whole list has as many answers as it has pages."""
    if list_all:
        msg = "a raw response is that of one page: ask for each with params={'page': ...}, or for the list without it"
        raise TypeError(msg)
    return operations.list_plugin_releases(params)
