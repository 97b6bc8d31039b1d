"""The clients of an agent: `AgentClient`, and with the same names awaited `AsyncAgentClient`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import httpx

from synapse_agent_sdk import endpoints
from synapse_agent_sdk._version import __version__
from synapse_agent_sdk.async_plugin_releases import AsyncPluginClientMixin
from synapse_agent_sdk.plugin_releases import PluginClientMixin
from synapse_agent_sdk.runtime import AsyncHttpClient, HttpClient, RetryPolicy
from synapse_agent_sdk.runtime.decoding import ACCEPTED
from synapse_agent_sdk.runtime.http_client import AsyncClientTransport, ClientTransport, HttpOptions
from synapse_agent_sdk.runtime.options import check_type, load_options, proxy_for, ssl_context
from synapse_agent_sdk.runtime.retry import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from synapse_agent_api.client import AuthenticatedClient
    from synapse_agent_api.typed_dicts import Health

    from synapse_agent_sdk.runtime import Options, Timeout, Verify

HttpT = TypeVar("HttpT", HttpClient, AsyncHttpClient)
ClientT = TypeVar("ClientT", httpx.Client, httpx.AsyncClient)
TransportT = TypeVar("TransportT", httpx.BaseTransport, httpx.AsyncBaseTransport)

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=5.0)
DEFAULT_MAX_RESPONSE_BYTES = 256 * 2**20
DEFAULT_POLICY = RetryPolicy()


class _LocalAgent(Protocol):
    """What a client needs of a local agent that it owns."""

    def stop(self) -> None: ...


class BaseClient(Generic[HttpT, ClientT, TransportT]):
    """What both clients share: construction and configuration."""

    _http: HttpT
    _http_class: Callable[..., HttpT]
    _client_class: type[ClientT]
    _client_transport: Callable[[ClientT], TransportT]
    _transport_class: type[TransportT]
    _make_transport: Callable[..., TransportT]

    def __init__(
        self,
        base_url: str | None = None,
        agent_token: str | None = None,
        *,
        access_token: str | None = None,
        user_token: str | None = None,
        tenant: str | None = None,
        timeout: Timeout | None = None,
        headers: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = DEFAULT_POLICY,
        limits: httpx.Limits = DEFAULT_LIMITS,
        max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES,
        verify: Verify = True,
        trust_env: bool = True,
        http_client: ClientT | None = None,
        transport: TransportT | None = None,
    ) -> None:
        if level := os.environ.get("SYNAPSE_LOG"):
            from synapse_agent_sdk.runtime.logging import enable_logging

            enable_logging(level)
        options = load_options(
            os.environ,
            base_url=base_url,
            agent_token=agent_token,
            access_token=access_token,
            user_token=user_token,
            tenant=tenant,
            timeout=timeout,
            headers=headers,
        )
        if http_client is not None and transport is not None:
            msg = "http_client and transport exclude each other: a client has its transport"
            raise ValueError(msg)
        policy = NEVER if retry is None else check_type("retry", retry, RetryPolicy)
        check_type("limits", limits, httpx.Limits)
        if limits.max_connections is not None and limits.max_connections < 1:
            msg = f"limits: max_connections must be 1 or more, or None, not {limits.max_connections}"
            raise ValueError(msg)
        if not isinstance(max_response_bytes, int) or max_response_bytes < 1:
            msg = f"max_response_bytes must be a whole number, 1 or more, not {max_response_bytes!r:.100}"
            raise ValueError(msg)
        if http_client is not None:
            sending = self._client_transport(check_type("http_client", http_client, self._client_class))
        elif transport is not None:
            sending = check_type("transport", transport, self._transport_class)
        else:
            sending = self._make_transport(
                limits=limits,
                verify=ssl_context(verify, options.base_url, trust_env=trust_env),
                proxy=proxy_for(options.base_url) if trust_env else None,
            )
        self._base_url = options.base_url
        self._agent: _LocalAgent | None = None
        self._http = self._http_class(options, HttpOptions(policy, max_response_bytes, _headers(options)), sending)

    @property
    def base_url(self) -> str:
        """The agent's URL, without a slash at its end."""
        return self._base_url

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    @classmethod
    def local(cls, registry: str | os.PathLike[str], **options: Any) -> Self:
        """Start a local agent on a free loopback port, and make a client of it that stops it when it is closed.

        Args:
            registry: The folder of plugins whose releases the agent can cache.
            options: Further arguments of the client.

        Returns:
            The client. What the agent stores is gone when it is closed.

        Raises:
            ImportError: If the local agent is not installed; the message says how to.

        Example:
            >>> with AgentClient.local(registry="examples/plugins") as client:
            ...     release = client.create_plugin_release(plugin="text_stats", version="1.0.0")
            >>> release["version"]
            '1.0.0'
        """
        from synapse_local_agent import LocalAgent

        agent = LocalAgent(registry=registry).start()
        try:
            # Whatever proxy the environment names, it is not there to reach this machine.
            client = cls(agent.url, agent.token, **{"trust_env": False, **options})
        except BaseException:
            agent.stop()
            raise
        client._agent = agent
        return client


def _headers(options: Options) -> httpx.Headers:
    """The headers of every request: ours, then the caller's over them, and the credentials over both."""
    headers = httpx.Headers(
        {
            "Host": httpx.URL(options.base_url).netloc.decode("ascii"),
            "User-Agent": f"synapse-agent-sdk/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPTED,
        }
    )
    headers.update(options.headers)
    headers.update(endpoints.auth_headers(options.agent_token, options.user_token, options.tenant))
    return headers


def _make_transport(**options: Any) -> httpx.BaseTransport:
    from synapse_agent_sdk.runtime.transport.connection_pool import Transport  # brings httpcore

    return Transport(**options)


def _make_async_transport(**options: Any) -> httpx.AsyncBaseTransport:
    from synapse_agent_sdk.runtime.transport.async_connection_pool import AsyncTransport  # as above

    return AsyncTransport(**options)


class AgentClient(BaseClient[HttpClient, httpx.Client, httpx.BaseTransport], PluginClientMixin):
    """A client of an agent: caches releases of plugins on it, and runs their actions.

    Close it, or use it as a context manager. It may be shared by threads. With `SYNAPSE_LOG=info` in the environment
    it says on stderr what it sends again and why, and with `debug` what it sends; or set up the
    logger `synapse_agent_sdk`.

    Args:
        base_url: The agent's URL, which may carry a path prefix. `SYNAPSE_AGENT_URL` where left out.
        agent_token: The agent token, sent raw. `SYNAPSE_AGENT_TOKEN` where left out; with neither, no
            `Authorization` header is sent.
        access_token: Another name of `agent_token`.
        user_token: The token of the user on whose behalf calls are made. `SYNAPSE_USER_TOKEN` where left out.
        tenant: The tenant that calls are made for. `SYNAPSE_TENANT` where left out.
        timeout: Seconds for connecting, reading and writing each; `{"connect": 3, "read": 10}`; `(connect, read)`; or
            an `httpx.Timeout`. 3 s to connect and 10 s to read where left out, but runs wait for their result as
            long as it takes, unless a timeout is given here or at the call; given at the call, it bounds all of it.
        headers: Further headers of every request.
        retry: What is sent again, and when; None for nothing, but for an idle connection that is found closed.
        limits: How many connections are held; 100 where left out.
        max_response_bytes: How large an answer may be, decompressed; 256 MiB where left out.
        verify: Whom to trust by TLS: the usual certificate authorities, or those in a file, or what an
            `ssl.SSLContext` says. False trusts anybody.
        trust_env: Whether `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`
            have a say.
        http_client: An `httpx.Client` (`httpx.AsyncClient`) of yours to send through, which you close. Total times,
            idle connections and limits are then its matter, and its own retries would repeat runs.
        transport: A transport of yours to send through. What was said of `http_client` holds for it too.

    Raises:
        ValueError: If a setting is missing or wrong. Tokens are never shown.

    Example:
        >>> with AgentClient(base_url=url, access_token=token) as client:
        ...     release = client.create_plugin_release(plugin="text_stats", version="1.0.0")
        ...     result = client.run_plugin_release(release, "analyze", {"path": os.path.abspath("README.md")})
        >>> sorted(result)[:3]
        ['characters', 'lines', 'most_common']
    """

    _http_class = HttpClient
    _client_class = httpx.Client
    _client_transport = ClientTransport
    _transport_class = httpx.BaseTransport
    _make_transport = staticmethod(_make_transport)

    @property
    def api(self) -> AuthenticatedClient:
        """The client to give to the generated functions of `synapse_agent_api`: same connections, same headers."""
        return endpoints.generated_client(self.base_url).set_httpx_client(self._http)

    def health_check(self) -> Health:
        """Ask the agent how it is (`health_check`); it answers without a token.

        Returns:
            What the agent says of itself, as a dict.

        Raises:
            ClientError: If it does not answer, or not well.

        Example:
            >>> client.health_check()["status"]
            'ok'
        """
        return self._http.call(endpoints.health_check())

    def close(self) -> None:
        """Close all connections, and the local agent if the client started one. The client cannot be used again.

        Example:
            >>> client = AgentClient(base_url=url, access_token=token)
            >>> client.close()
        """
        try:
            self._http.close()
        finally:
            if self._agent is not None:
                self._agent.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAgentClient(
    BaseClient[AsyncHttpClient, httpx.AsyncClient, httpx.AsyncBaseTransport], AsyncPluginClientMixin
):
    """The same as `AgentClient`, awaited: same arguments, same methods, same errors.

    Close it with `await client.aclose()`, or use it as an async context manager.

    Example:
        >>> async with AsyncAgentClient(base_url=url, access_token=token) as client:
        ...     release = await client.create_plugin_release(plugin="text_stats", version="1.0.0")
        ...     result = await client.run_plugin_release(release, "analyze", {"path": os.path.abspath("README.md")})
        >>> sorted(result)[:3]
        ['characters', 'lines', 'most_common']
    """

    _http_class = AsyncHttpClient
    _client_class = httpx.AsyncClient
    _client_transport = AsyncClientTransport
    _transport_class = httpx.AsyncBaseTransport
    _make_transport = staticmethod(_make_async_transport)

    @property
    def api(self) -> AuthenticatedClient:
        """The client to give to the generated functions of `synapse_agent_api`: same connections, same headers."""
        return endpoints.generated_client(self.base_url).set_async_httpx_client(self._http)

    async def health_check(self) -> Health:
        """Ask the agent how it is (`health_check`); it answers without a token.

        Returns:
            What the agent says of itself, as a dict.

        Raises:
            ClientError: If it does not answer, or not well.

        Example:
            >>> (await client.health_check())["status"]
            'ok'
        """
        return await self._http.call(endpoints.health_check())

    async def aclose(self) -> None:
        """Close all connections, and the local agent if the client started one. The client cannot be used again.

        Example:
            >>> client = AsyncAgentClient(base_url=url, access_token=token)
            >>> await client.aclose()
        """
        try:
            await self._http.aclose()
        finally:
            if self._agent is not None:
                import anyio

                await anyio.to_thread.run_sync(self._agent.stop)

    async def close(self) -> None:
        """Do what `aclose` does, under the name that the published package gives it.

        Example:
            >>> client = AsyncAgentClient(base_url=url, access_token=token)
            >>> await client.close()
        """
        await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
