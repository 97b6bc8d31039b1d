"""How each flavour sends, and how it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from synapse_sdk.clients.agent import flow, operations
from synapse_sdk.clients.agent.configured import Configured
from synapse_sdk.clients.agent.http import AsyncClientTransport, AsyncHttp, ClientTransport, Http

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from synapse_agent_api.client import AuthenticatedClient
    from synapse_agent_api.typed_dicts import Health

R = TypeVar("R")


def _make_transport(**options: Any) -> httpx.BaseTransport:
    from synapse_sdk.clients.agent.transport import Transport  # not before a client is made: it brings httpcore

    return Transport(**options)


def _make_async_transport(**options: Any) -> httpx.AsyncBaseTransport:
    from synapse_sdk.clients.agent.async_transport import AsyncTransport  # as above

    return AsyncTransport(**options)


class BaseClient(Configured[Http, httpx.Client, httpx.BaseTransport]):
    """The sync flavour: how it sends, and how it is closed."""

    _make_http = Http
    _make_transport = staticmethod(_make_transport)
    _client_transport = ClientTransport
    _client_class = httpx.Client
    _transport_class = httpx.BaseTransport

    def _run(self, steps: flow.Flow[R]) -> R:
        return flow.run(steps, self._http.once, self._http.sleep)

    def _call(self, call: operations.Call[R]) -> R:
        return self._run(self._flow(call))

    @property
    def api(self) -> AuthenticatedClient:
        """The client to give to the generated functions of `synapse_agent_api`: same connections, same headers."""
        return self._generated.set_httpx_client(self._sender)

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
        return self._call(operations.health_check())

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


class AsyncBaseClient(Configured[AsyncHttp, httpx.AsyncClient, httpx.AsyncBaseTransport]):
    """The async flavour: how it sends, and how it is closed."""

    _make_http = AsyncHttp
    _make_transport = staticmethod(_make_async_transport)
    _client_transport = AsyncClientTransport
    _client_class = httpx.AsyncClient
    _transport_class = httpx.AsyncBaseTransport

    async def _run(self, steps: flow.Flow[R]) -> R:
        return await flow.run_async(steps, self._http.once, self._http.sleep)

    async def _call(self, call: operations.Call[R]) -> R:
        return await self._run(self._flow(call))

    @property
    def api(self) -> AuthenticatedClient:
        """The client to give to the generated functions of `synapse_agent_api`: same connections, same headers."""
        return self._generated.set_async_httpx_client(self._sender)

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
        return await self._call(operations.health_check())

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
