"""Raw responses: status, headers, elapsed time and attempts.

`with_raw_response` has one line per operation, which wraps the function of `endpoints` that makes the request, so
that its parameters and result type are those of the operation.
"""

from __future__ import annotations

import functools
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar

from synapse_agent_sdk import endpoints
from synapse_agent_sdk.runtime.errors import attempts_of, describe, redacted_headers
from synapse_agent_sdk.runtime.response import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    import httpx
    from synapse_agent_api.typed_dicts import PluginReleasePage

    from synapse_agent_sdk.runtime import AsyncHttpClient, BaseHttpClient, Exchange, HttpClient, Request

P = ParamSpec("P")
R = TypeVar("R")


class RawResponse(Generic[R]):
    """A successful response, returned by a client's `with_raw_response`.

    Args:
        request: The request.
        response: The response.
        elapsed: Duration of the call.

    Attributes:
        status_code: The HTTP status. A retried deletion that finds the release gone is a 204.
        headers: The headers, case-insensitive, with secrets redacted.
        content: The body as the agent sent it, decompressed.
        elapsed: Duration of the call, with all attempts, waits and redirects.
        attempts: Number of attempts, as in errors; redirects do not count.

    Example:
        >>> response = client.with_raw_response.get_plugin_release("text_stats@1.0.0")
        >>> response.status_code, response.headers["content-type"], response.attempts
        (200, 'application/json', 1)
        >>> response.parse()["version"]
        '1.0.0'
    """

    def __init__(self, request: Request[R], response: httpx.Response, elapsed: timedelta) -> None:
        self._request = request
        self._response = response
        self.status_code = response.status_code
        self.headers: Mapping[str, str] = redacted_headers(response)
        self.content = response.content
        self.elapsed = elapsed
        self.attempts = attempts_of(response)

    @property
    def request_id(self) -> str | None:
        """The response's `X-Request-ID`, or None."""
        return self.headers.get("x-request-id")

    def parse(self) -> R:
        """Parse the value that the method itself would return; each call returns a new object.

        Returns:
            The value.

        Raises:
            InvalidResponseError: If the body does not match the contract.

        Example:
            >>> client.with_raw_response.health_check().parse()["status"]
            'ok'
        """
        return parse(self._request, self._response)

    def __repr__(self) -> str:
        target = describe(self._request, self._response.url)
        return f"<{type(self).__name__} {target} -> {self.status_code}, attempts={self.attempts}>"


class WithRawResponse:
    """The operations of `AgentClient`, returning raw responses; errors are raised as usual."""

    def __init__(self, http: HttpClient) -> None:
        def raw(operation: Callable[P, Request[R]]) -> Callable[P, RawResponse[R]]:
            @functools.wraps(operation)
            def method(*args: P.args, **kwargs: P.kwargs) -> RawResponse[R]:
                return http.run(_respond(http, operation(*args, **kwargs)))

            return method

        self.health_check = raw(endpoints.health_check)
        self.list_plugin_releases = raw(_one_page)
        self.get_plugin_release = raw(endpoints.get_plugin_release)
        self.create_plugin_release = raw(endpoints.create_plugin_release)
        self.delete_plugin_release = raw(endpoints.delete_plugin_release)
        self.run_plugin_release = raw(endpoints.run_plugin_release)
        self.run_debug_plugin_release = raw(endpoints.run_debug_plugin_release)


class AsyncWithRawResponse:
    """The operations of `AsyncAgentClient`, returning raw responses; errors are raised as usual."""

    def __init__(self, http: AsyncHttpClient) -> None:
        def raw(operation: Callable[P, Request[R]]) -> Callable[P, Coroutine[Any, Any, RawResponse[R]]]:
            @functools.wraps(operation)
            async def method(*args: P.args, **kwargs: P.kwargs) -> RawResponse[R]:
                return await http.run(_respond(http, operation(*args, **kwargs)))

            return method

        self.health_check = raw(endpoints.health_check)
        self.list_plugin_releases = raw(_one_page)
        self.get_plugin_release = raw(endpoints.get_plugin_release)
        self.create_plugin_release = raw(endpoints.create_plugin_release)
        self.delete_plugin_release = raw(endpoints.delete_plugin_release)
        self.run_plugin_release = raw(endpoints.run_plugin_release)
        self.run_debug_plugin_release = raw(endpoints.run_debug_plugin_release)


def _respond(http: BaseHttpClient, request: Request[R]) -> Exchange[RawResponse[R]]:
    started = time.monotonic()
    response = yield from http.exchange(request)
    return RawResponse(request, response, timedelta(seconds=time.monotonic() - started))


def _one_page(
    params: Mapping[str, Any] | None = None, *, list_all: Literal[False] = False
) -> Request[PluginReleasePage]:
    """The request for one page: a whole list has a response per page."""
    if list_all:
        msg = "with_raw_response cannot list all pages: request each page with params={'page': ...}"
        raise TypeError(msg)
    return endpoints.list_plugin_releases(params)
