"""The agent clients: `AgentClient`, and `AsyncAgentClient` with the same methods, awaited."""

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
    """The part of a local agent that its client uses."""

    def stop(self) -> None: ...


class BaseClient(Generic[HttpT, ClientT, TransportT]):
    """Construction and configuration, shared by both clients."""

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
            msg = "pass either http_client or transport, not both"
            raise ValueError(msg)
        policy = NEVER if retry is None else check_type("retry", retry, RetryPolicy)
        check_type("limits", limits, httpx.Limits)
        if limits.max_connections is not None and limits.max_connections < 1:
            msg = f"limits.max_connections must be None or at least 1, not {limits.max_connections}"
            raise ValueError(msg)
        if not isinstance(max_response_bytes, int) or max_response_bytes < 1:
            msg = f"max_response_bytes must be an integer of at least 1, not {max_response_bytes!r:.100}"
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
        """The agent's URL, without a trailing slash."""
        return self._base_url

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    @classmethod
    def local(cls, registry: str | os.PathLike[str], **options: Any) -> Self:
        """Start a local agent on a free loopback port and return a client for it; closing the client stops the agent.

        Args:
            registry: Folder of plugins whose releases the agent can cache.
            options: Other arguments of the client.

        Returns:
            The client. Closing it deletes the agent's data.

        Raises:
            ImportError: If the local agent is not installed; the message says how to install it.

        Example:
            >>> with AgentClient.local(registry="examples/plugins") as client:
            ...     release = client.create_plugin_release(plugin="text_stats", version="1.0.0")
            >>> release["version"]
            '1.0.0'
        """
        from synapse_local_agent import LocalAgent

        agent = LocalAgent(registry=registry).start()
        try:
            # Never reach this machine through a proxy from the environment.
            client = cls(agent.url, agent.token, **{"trust_env": False, **options})
        except BaseException:
            agent.stop()
            raise
        client._agent = agent
        return client


def _headers(options: Options) -> httpx.Headers:
    """The headers of every request; user headers override defaults, and credentials override both."""
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
    from synapse_agent_sdk.runtime.transport.connection_pool import Transport  # imports httpcore

    return Transport(**options)


def _make_async_transport(**options: Any) -> httpx.AsyncBaseTransport:
    from synapse_agent_sdk.runtime.transport.async_connection_pool import AsyncTransport  # as above

    return AsyncTransport(**options)


class AgentClient(BaseClient[HttpClient, httpx.Client, httpx.BaseTransport], PluginClientMixin):
    """Client of an agent: caches plugin releases on it and runs their actions.

    Close it, or use it as a context manager. It is thread-safe. Set `SYNAPSE_LOG=info` to log retries to stderr, or
    `SYNAPSE_LOG=debug` to log every request; or configure the logger `synapse_agent_sdk`.

    Args:
        base_url: The agent's URL, with an optional path prefix. Defaults to `SYNAPSE_AGENT_URL`.
        agent_token: The agent token, sent unchanged. Defaults to `SYNAPSE_AGENT_TOKEN`; without either, no
            `Authorization` header is sent.
        access_token: Alias of `agent_token`.
        user_token: Token of the user that requests are made for. Defaults to `SYNAPSE_USER_TOKEN`.
        tenant: Tenant that requests are made for. Defaults to `SYNAPSE_TENANT`.
        timeout: Seconds for each of connect, read and write; `{"connect": 3, "read": 10}`; `(connect, read)`; or an
            `httpx.Timeout`. Defaults to 3 s to connect and 10 s to read. Runs have no read timeout by default; a
            timeout passed to a call limits the whole call.
        headers: Additional headers for every request.
        retry: The retry policy. None disables retries, except when an idle connection turns out to be closed.
        limits: Connection limits. Defaults to 100 connections.
        max_response_bytes: Maximum size of a decompressed response. Defaults to 256 MiB.
        verify: Certificates to trust: the default authorities (True), a CA file, or an `ssl.SSLContext`. False
            disables verification.
        trust_env: Whether to use `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and
            `SSL_CERT_DIR`.
        http_client: Your own `httpx.Client` (`httpx.AsyncClient`) to send through; you close it. It then manages
            total timeouts, idle connections and limits. Disable its retries: they would repeat runs.
        transport: Your own transport to send through; the notes on `http_client` apply.

    Raises:
        ValueError: If a setting is missing or invalid. Messages never contain tokens.

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
        """A client for the generated functions of `synapse_agent_api`, with the same connections and headers."""
        return endpoints.generated_client(self.base_url).set_httpx_client(self._http)

    def health_check(self) -> Health:
        """Check the agent's health (`health_check`); needs no token.

        Returns:
            The agent's status, as a dict.

        Raises:
            ClientError: If the request fails.

        Example:
            >>> client.health_check()["status"]
            'ok'
        """
        return self._http.call(endpoints.health_check())

    def close(self) -> None:
        """Close all connections, and stop the local agent if the client started one. The client cannot be reused.

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
    """Async version of `AgentClient`, with the same arguments, methods and errors.

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
        """A client for the generated functions of `synapse_agent_api`, with the same connections and headers."""
        return endpoints.generated_client(self.base_url).set_async_httpx_client(self._http)

    async def health_check(self) -> Health:
        """Check the agent's health (`health_check`); needs no token.

        Returns:
            The agent's status, as a dict.

        Raises:
            ClientError: If the request fails.

        Example:
            >>> (await client.health_check())["status"]
            'ok'
        """
        return await self._http.call(endpoints.health_check())

    async def aclose(self) -> None:
        """Close all connections, and stop the local agent if the client started one. The client cannot be reused.

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
        """Alias of `aclose`, the name in the published package.

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
