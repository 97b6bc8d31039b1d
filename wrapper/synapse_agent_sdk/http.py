"""httpx's clients, with every request sent as a flow: deadlines, retries, redirects and errors are those of the SDK.

The methods of `AgentClient` take the flow of their call from `steps` and send with `once`. The generated functions,
given `client.api`, come through `send` and get the same; what they send by POST counts as a run, which is never sent
twice.
"""

from __future__ import annotations

import re
import time
from typing import Any, cast

import httpx

from synapse_sdk.clients.agent import answers, flow, internals, origins, retries
from synapse_sdk.clients.agent.body import Body
from synapse_sdk.clients.agent.operations import Call

READY = re.compile(r"/[\w/.~%@:&=?+-]{,1000}", re.ASCII)
"""Paths and queries that a parser would leave as they are, but for segments of dots."""


class Steps:
    """What both flavours share: the flow of a request, and how large an answer may be."""

    def __init__(
        self, policy: retries.RetryPolicy, max_response_bytes: int, secrets: tuple[str, ...], **options: Any
    ) -> None:
        super().__init__(**options)
        if "Connection" not in (options.get("headers") or {}):
            # httpx asks to keep connections, as HTTP/1.1 does unasked, and h11 keeps none of HTTP/1.0.
            self.headers.pop("Connection", None)  # type: ignore[attr-defined]  # both of httpx's clients have it
        self.policy = policy
        self.max_response_bytes = max_response_bytes
        self.secrets = secrets
        self.root = httpx.URL(str(self.base_url).rstrip("/"))  # type: ignore[attr-defined]  # both of httpx's clients have it

    def prepare(self, call: Call[Any], timeout: httpx.Timeout) -> httpx.Request:
        """The request of a call: what `build_request` makes, without merging anew what is the same for all calls.

        Raises:
            httpx.InvalidURL: If no URL can carry the call's path and query.
        """
        url = self._url(call)
        headers = self.headers  # type: ignore[attr-defined]  # both of httpx's clients have it
        own = dict(call.headers or {})
        if call.content is not None:
            own["Content-Length"] = str(len(call.content))
        if own:
            names = {name.lower().encode() for name in own}
            headers = [pair for pair in headers.raw if pair[0].lower() not in names]
            headers += [(name.encode(), value.encode()) for name, value in own.items()]
        stream = httpx.ByteStream(call.content or b"")
        extensions = {"timeout": timeout.as_dict()}
        request = httpx.Request(call.method, url, headers=headers, stream=stream, extensions=extensions)
        request.read()  # so that it has its content, for who looks at requests
        return request

    def _url(self, call: Call[Any]) -> httpx.URL:
        """The URL of a call. httpx's parser takes a tenth of the time of a call, and would find nothing to change."""
        if not call.params and READY.fullmatch(call.url) and "/." not in call.url:
            return internals.below(self.root, call.url)
        return httpx.URL(f"{self.root}{call.url}", **({"params": call.params} if call.params else {}))

    def steps(self, request: httpx.Request, call: Call[Any], total: float | None) -> flow.Flow[httpx.Response]:
        """The flow of a call; its value is a success."""
        return flow.exchange(call, request, self.policy, total)

    def foreign_steps(self, request: httpx.Request, base_url: httpx.URL) -> flow.Flow[httpx.Response]:
        """The flow of a request that the generated client made."""
        origins.check(request.url, base_url)
        call: Call[Any] = Call(request.method, str(request.url), None, is_run=request.method == "POST")
        timeout = httpx.Timeout(**request.extensions["timeout"])
        return self.steps(request, call, retries.total_seconds(self.policy, timeout, is_run=call.is_run))

    def check_open(self) -> None:
        """Refuse to send after `close`."""
        if self.is_closed:  # type: ignore[attr-defined]  # both of httpx's clients have it
            msg = "This client is closed: make a new one"
            raise RuntimeError(msg)

    def body_of(self, request: httpx.Request, response: httpx.Response) -> Body:
        """What takes the body of a response, which is told its request and what it must not show."""
        response.request = request
        response.extensions[answers.SECRETS] = self.secrets
        return Body(response, self.max_response_bytes)


class Http(Steps, httpx.Client):
    """The sync flavour."""

    sleep = staticmethod(time.sleep)

    def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send what the generated client made."""
        return flow.run(self.foreign_steps(request, self.base_url), self.once, self.sleep)

    def once(self, request: httpx.Request) -> httpx.Response:
        """Send a request once, and read its answer."""
        self.check_open()
        response: httpx.Response = internals.transport_of(self).handle_request(request)
        body = self.body_of(request, response)
        if response.is_stream_consumed:
            return response  # a transport of the caller's own has read it
        try:
            body.begin()
            for chunk in cast("httpx.SyncByteStream", response.stream):
                body.add(chunk)
        except flow.FAILURES as error:
            body.failure = error
        finally:
            response.close()
        return body.end()


class AsyncHttp(Steps, httpx.AsyncClient):
    """The async flavour."""

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Wait, on whichever loop runs."""
        import anyio

        await anyio.sleep(seconds)

    async def send(self, request: httpx.Request, **_: Any) -> httpx.Response:
        """Send what the generated client made."""
        return await flow.run_async(self.foreign_steps(request, self.base_url), self.once, self.sleep)

    async def once(self, request: httpx.Request) -> httpx.Response:
        """Send a request once, and read its answer."""
        self.check_open()
        response: httpx.Response = await internals.transport_of(self).handle_async_request(request)
        body = self.body_of(request, response)
        if response.is_stream_consumed:
            return response  # a transport of the caller's own has read it
        try:
            body.begin()
            async for chunk in cast("httpx.AsyncByteStream", response.stream):
                body.add(chunk)
        except flow.FAILURES as error:
            body.failure = error
        finally:
            await response.aclose()
        return body.end()


class ClientTransport(httpx.BaseTransport):
    """Sends through an httpx client of the caller's, which stays open when this is closed."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._client.send(request, stream=True, follow_redirects=False)


class AsyncClientTransport(httpx.AsyncBaseTransport):
    """Sends through an httpx client of the caller's, which stays open when this is closed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._client.send(request, stream=True, follow_redirects=False)
