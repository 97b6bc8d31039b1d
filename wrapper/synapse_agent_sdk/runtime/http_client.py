"""httpx clients that send every request as an exchange, with the SDK's deadlines, retries, redirects and errors.

The SDK uses `call`, `cursor` and `run`. The generated functions, with `client.api`, use `send` and get the same
behaviour, except that only their GET, HEAD and DELETE requests are safe to retry.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import httpx

from synapse_agent_sdk.runtime.exchange import Exchange, drive, drive_async, exchange
from synapse_agent_sdk.runtime.json_body import ENCODER, json_error
from synapse_agent_sdk.runtime.options import parse_timeout, total_of
from synapse_agent_sdk.runtime.origins import check_origin
from synapse_agent_sdk.runtime.pagination import PageCursor
from synapse_agent_sdk.runtime.request import Request
from synapse_agent_sdk.runtime.response import FAILURES, BodyReader, parse
from synapse_agent_sdk.runtime.retry import RetryPolicy, total_seconds

if TYPE_CHECKING:
    from synapse_agent_sdk.runtime.options import Options

R = TypeVar("R")

SAFE_METHODS = frozenset({"GET", "HEAD", "DELETE"})
"""Methods of the generated functions that are safe to retry."""
CLOSED = "the client is closed: create a new one"
parse_url = lru_cache(maxsize=128)(httpx.URL)
"""Parses a URL once, since that takes a seventh of a call's time. URLs are immutable."""


class HttpOptions(NamedTuple):
    """Options for sending, besides the client's settings."""

    policy: RetryPolicy
    max_response_bytes: int
    headers: httpx.Headers


class BaseHttpClient:
    """Converts requests to exchanges; shared by sync and async."""

    def __init__(self, options: Options, http: HttpOptions, transport: Any) -> None:
        of_httpx: dict[str, Any] = {
            "base_url": options.base_url,
            "headers": http.headers,
            "timeout": options.timeout,
            "transport": transport,
        }
        super().__init__(**of_httpx)
        if "Connection" not in http.headers:
            # httpx adds keep-alive, which is the default in HTTP/1.1 and unsupported by h11 for HTTP/1.0.
            self.headers.pop("Connection", None)  # type: ignore[attr-defined]  # both httpx clients have it
        self._options = options
        self._policy = http.policy
        self._max_response_bytes = http.max_response_bytes
        self._secrets = options.secrets()
        self._total = total_seconds(http.policy, options.timeout)
        self._fixed_headers = {name.lower(): (name, value) for name, value in self.headers.raw}  # type: ignore[attr-defined]  # as above
        self._sending = transport

    def exchange(self, request: Request[Any]) -> Exchange[httpx.Response]:
        """The exchange of a request; its value is a successful response.

        Raises:
            RuntimeError: If the client is closed.
            TypeError: If the body is not JSON.
            ValueError: If the body is not JSON, or the URL is invalid.
        """
        if self.is_closed:  # type: ignore[attr-defined]  # both httpx clients have it
            raise RuntimeError(CLOSED)
        options = self._options
        timeout, total = (options.timeout, self._total) if request.replayable else (options.run_timeout, None)
        if request.timeout is not None:
            timeout = parse_timeout(request.timeout, timeout)
            total = total_of(request.timeout, timeout)
            if total is None and request.replayable:
                total = total_seconds(self._policy, timeout)
        return exchange(request, self._prepare(request, timeout), self._policy, total)

    def result(self, request: Request[R]) -> Exchange[R]:
        """The exchange of a request; its value is the result."""
        return parse(request, (yield from self.exchange(request)))

    def exchange_for_generated(self, request: httpx.Request, base_url: httpx.URL) -> Exchange[httpx.Response]:
        """The exchange of a request from a generated function."""
        if self.is_closed:  # type: ignore[attr-defined]  # both httpx clients have it
            raise RuntimeError(CLOSED)
        check_origin(request.url, base_url)
        replayable = request.method in SAFE_METHODS
        asked: Request[Any] = Request(request.method, str(request.url), None, replayable=replayable)
        timeout = httpx.Timeout(**request.extensions["timeout"])
        total = total_seconds(self._policy, timeout) if replayable else None
        return exchange(asked, request, self._policy, total)

    def cursor(self, first: Request[Any], fallback: Request[Any]) -> PageCursor[Any]:
        """A cursor over the pages of a list; `fallback` replaces `first` if that is refused."""
        return PageCursor(first, fallback, self.result, self._options.base_url)

    def _prepare(self, request: Request[Any], timeout: httpx.Timeout) -> httpx.Request:
        """The HTTP request. Like `build_request`, but merges the fixed headers only once."""
        content = b""
        own = dict(request.headers or {})
        if request.json is not None:
            try:
                content = ENCODER.encode(request.json).encode()
            except (TypeError, ValueError, RecursionError) as error:
                raise json_error(request.json, error) from None
            own["Content-Length"] = str(len(content))
        try:
            url = parse_url(f"{self._options.base_url}{request.url}")
            if request.params:
                url = url.copy_with(params=request.params)
        except (httpx.InvalidURL, UnicodeError) as error:
            msg = f"the arguments do not form a valid URL: {error!s:.200}"
            raise ValueError(msg) from None
        headers = self._fixed_headers.copy()
        for name, value in own.items():
            headers[name.lower().encode()] = (name.encode(), value.encode())
        extensions = {"timeout": timeout.as_dict()}
        stream = httpx.ByteStream(content)
        made = httpx.Request(request.method, url, headers=list(headers.values()), stream=stream, extensions=extensions)
        made.read()  # sets its content, for instrumentation
        return made


class HttpClient(BaseHttpClient, httpx.Client):
    """The sync client."""

    sleep = staticmethod(time.sleep)

    def call(self, request: Request[R]) -> R:
        """Send a request and return its result."""
        return parse(request, drive(self.exchange(request), self.send_once, self.sleep))

    def run(self, exchange: Exchange[R]) -> R:
        """Run an exchange and return its value."""
        return drive(exchange, self.send_once, self.sleep)

    def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send a request from a generated function."""
        return self.run(self.exchange_for_generated(request, self.base_url))

    def send_once(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and read the response."""
        response: httpx.Response = self._sending.handle_request(request)
        reader = BodyReader(response, request, self._secrets, self._max_response_bytes)
        if response.is_stream_consumed:
            return response  # a custom transport has read it
        try:
            if reader.failure is None:
                for chunk in cast("httpx.SyncByteStream", response.stream):
                    reader.add(chunk)
        except FAILURES as error:
            reader.failure = error
        finally:
            response.close()
        return reader.end()


class AsyncHttpClient(BaseHttpClient, httpx.AsyncClient):
    """The async client."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Sleep, on any event loop."""
        import anyio

        await anyio.sleep(seconds)

    async def call(self, request: Request[R]) -> R:
        """Send a request and return its result."""
        return parse(request, await drive_async(self.exchange(request), self.send_once, self.sleep))

    async def run(self, exchange: Exchange[R]) -> R:
        """Run an exchange and return its value."""
        return await drive_async(exchange, self.send_once, self.sleep)

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send a request from a generated function."""
        return await self.run(self.exchange_for_generated(request, self.base_url))

    async def send_once(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and read the response."""
        response: httpx.Response = await self._sending.handle_async_request(request)
        reader = BodyReader(response, request, self._secrets, self._max_response_bytes)
        if response.is_stream_consumed:
            return response  # a custom transport has read it
        try:
            if reader.failure is None:
                async for chunk in cast("httpx.AsyncByteStream", response.stream):
                    reader.add(chunk)
        except FAILURES as error:
            reader.failure = error
        finally:
            await response.aclose()
        return reader.end()


class ClientTransport(httpx.BaseTransport):
    """Sends through a user's httpx client, and leaves it open when closed."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        return self._client.send(request, stream=True, follow_redirects=False)


class AsyncClientTransport(httpx.AsyncBaseTransport):
    """Sends through a user's httpx client, and leaves it open when closed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        return await self._client.send(request, stream=True, follow_redirects=False)
