"""Construction and configuration: what both flavours of the client share."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import httpx

from synapse_sdk._version import __version__
from synapse_sdk.clients.agent import answers, decoding, flow, operations, pagination, retries, settings
from synapse_sdk.clients.agent.http import AsyncHttp, Http
from synapse_sdk.clients.agent.retries import NEVER, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from synapse_agent_api.client import AuthenticatedClient

    from synapse_sdk.clients.agent.settings import Timeout, Verify

R = TypeVar("R")
T = TypeVar("T")
HttpT = TypeVar("HttpT", Http, AsyncHttp)
ClientT = TypeVar("ClientT", httpx.Client, httpx.AsyncClient)
TransportT = TypeVar("TransportT", httpx.BaseTransport, httpx.AsyncBaseTransport)

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100, keepalive_expiry=5.0)
DEFAULT_MAX_RESPONSE_BYTES = 256 * 2**20
DEFAULT_POLICY = RetryPolicy()


class _LocalAgent(Protocol):
    """What a client needs of a local agent that it owns."""

    def stop(self) -> None: ...


class Configured(Generic[HttpT, ClientT, TransportT]):
    """What both flavours share: their settings, and the flows that they make of calls."""

    _http: HttpT

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
            from synapse_sdk.clients.agent import logs  # not before it is asked for

            logs.switch_on(level)
        self._settings = settings.resolve(
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
        self._policy = NEVER if retry is None else _checked("retry", retry, RetryPolicy)
        _checked("limits", limits, httpx.Limits)
        if limits.max_connections is not None and limits.max_connections < 1:
            msg = f"limits: max_connections must be 1 or more, or None, not {limits.max_connections}"
            raise ValueError(msg)
        if not isinstance(max_response_bytes, int) or max_response_bytes < 1:
            msg = f"max_response_bytes must be a whole number, 1 or more, not {max_response_bytes!r:.100}"
            raise ValueError(msg)
        self._agent: _LocalAgent | None = None
        if http_client is not None:
            sending = self._client_transport(_checked("http_client", http_client, self._client_class))
        elif transport is not None:
            sending = _checked("transport", transport, self._transport_class)
        else:
            sending = self._make_transport(
                limits=limits,
                verify=settings.ssl_context(verify, self.base_url, trust_env=trust_env),
                proxy=settings.proxy_for(self.base_url) if trust_env else None,
            )
        self._http = self._make_http(
            policy=self._policy,
            max_response_bytes=max_response_bytes,
            secrets=self._settings.secrets(),
            base_url=self.base_url,
            headers=self._default_headers(),
            timeout=self._settings.timeout,
            transport=sending,
        )

    # The classes of the flavour.
    _make_http: Callable[..., HttpT]
    _make_transport: Callable[..., TransportT]
    _client_transport: Callable[[ClientT], TransportT]
    _client_class: type[ClientT]
    _transport_class: type[TransportT]

    @property
    def base_url(self) -> str:
        """The agent's URL, without a slash at its end."""
        return self._settings.base_url

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

    @functools.cached_property
    def _generated(self) -> AuthenticatedClient:
        """The client of the generated functions; its repr shows its token, so it is given none."""
        from synapse_agent_api.client import AuthenticatedClient

        return AuthenticatedClient(base_url=self.base_url, token="(sent by the SDK)")  # noqa: S106 - not a token

    @functools.cached_property
    def _sender(self) -> HttpT:
        """What sends, with the headers that the contract names: not before a call, for the cost of importing these."""
        self._http.headers.update(self._named_headers())
        return self._http

    def _default_headers(self) -> httpx.Headers:
        """The headers that need no contract."""
        headers = httpx.Headers(
            {
                "Host": httpx.URL(self.base_url).netloc.decode("ascii"),
                "User-Agent": f"synapse-agent-sdk/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": decoding.ACCEPTED,
            }
        )
        headers.update(self._settings.headers)
        return headers

    def _named_headers(self) -> httpx.Headers:
        """The headers that the contract names, which win over those that were given."""
        given = self._settings
        headers = httpx.Headers()
        if given.user_token or given.tenant:
            from synapse_agent_api.api.health import health_check
            from synapse_agent_api.types import UNSET

            user, tenant = (f"Token {secret}" if secret else UNSET for secret in (given.user_token, given.tenant))
            headers.update(health_check._get_kwargs(synapse_user=user, synapse_tenant=tenant)["headers"])
        if given.agent_token is not None:
            headers[self._generated.auth_header_name] = given.agent_token
        return headers

    def _flow(self, call: operations.Call[R]) -> flow.Flow[R]:
        """The flow of a call, whose value is its result."""
        return answers.read(call, (yield from self._exchange(call)))

    def _exchange(self, call: operations.Call[Any]) -> flow.Flow[httpx.Response]:
        """The flow of a call, with the client's URL, headers and timeouts, whose value is a success."""
        self._http.check_open()
        default = self._settings.run_timeout if call.is_run else self._settings.timeout
        timeout = settings.parse_timeout(call.timeout, default)
        try:
            request = self._sender.prepare(call, timeout)
        except (httpx.InvalidURL, UnicodeError) as error:
            msg = f"These arguments make no URL: {error!s:.200}"
            raise ValueError(msg) from None
        total = settings.total_of(call.timeout, timeout)
        if total is None:
            total = retries.total_seconds(self._policy, timeout, is_run=call.is_run)
        return self._http.steps(request, call, total)

    def _walk(self, params: Mapping[str, Any] | None) -> pagination.Walk:
        """A walk over the pages of a list, which are large unless the caller or the agent says otherwise."""
        asked = operations.list_plugin_releases(params)
        largest = operations.list_plugin_releases(params, page_size=pagination.PAGE_SIZE)
        return pagination.Walk(largest, asked, self._flow, self.base_url)


def _checked(name: str, value: T, kind: type) -> T:
    """`value`, where it is of the kind that its flavour can use."""
    if not isinstance(value, kind):
        msg = f"{name} must be an instance of {kind.__module__.partition('.')[0]}.{kind.__name__}, not {value!r:.100}"
        raise TypeError(msg)
    return value
