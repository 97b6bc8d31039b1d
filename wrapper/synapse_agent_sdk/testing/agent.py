"""A local agent for tests that injects faults and records calls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from synapse_local_agent import LocalAgent
from synapse_local_agent.web import contract

from synapse_agent_sdk.testing.proxy import Proxy

if TYPE_CHECKING:
    import os

    from synapse_agent_sdk.testing.calls import AgentCalls
    from synapse_agent_sdk.testing.proxy import AgentFaults


class Operations:
    """The contract's operations, matched by method and path."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._paths = [
            (operation.method, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))), operation.id)
            for operation in contract.operations(document)
        ]
        self.names = frozenset(name for _, _, name in self._paths)

    def of(self, method: str, target: str) -> str | None:
        """The operation for a method and a target, or None."""
        path = target.partition("?")[0]
        return next((name for verb, form, name in self._paths if verb == method and form.fullmatch(path)), None)


class ProxiedAgent(LocalAgent):
    """A local agent behind a proxy that injects faults and records calls.

    The fixture `local_agent` returns one. It also works without pytest.

    Args:
        registry: The folder with the plugins that the agent can cache.
        options: Other arguments of `LocalAgent`.

    Attributes:
        token: The agent token.

    Raises:
        RegistryError: If the registry or a plugin in it is invalid.

    Example:
        >>> from synapse_agent_sdk.testing.faults import disconnect
        >>> with ProxiedAgent("examples/plugins") as agent, AgentClient(agent.url, agent.token) as client:
        ...     agent.faults.next(disconnect())
        ...     releases, total = client.list_plugin_releases(list_all=True)
        ...     print(total, len(agent.calls))
        0 2
    """

    _proxy: Proxy | None = None

    def __init__(self, registry: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(registry, **options)
        self.registry = registry

    def __repr__(self) -> str:
        url = None if self._proxy is None else self._proxy.url
        return f"ProxiedAgent(url={url!r}, registry={str(self.registry)!r})"

    @property
    def url(self) -> str:
        """The URL of the proxy, which injects faults and records calls."""
        return self._front.url

    @property
    def direct_url(self) -> str:
        """The URL of the agent itself, without faults and recording."""
        return super().url

    @property
    def faults(self) -> AgentFaults:
        """The faults for the next calls."""
        return self._front.faults

    @property
    def calls(self) -> AgentCalls:
        """The calls that arrived."""
        return self._front.calls

    @property
    def _front(self) -> Proxy:
        if self._proxy is None:
            msg = "The agent is not running: call start(), or use it in a with block"
            raise RuntimeError(msg)
        return self._proxy

    def start(self) -> Self:
        """Start the agent and return it once it accepts connections."""
        super().start()
        try:
            operations = Operations(contract.load())
            upstream = urlsplit(self.direct_url)
            self._proxy = Proxy((upstream.hostname or "", upstream.port or 0), operations.names, operations.of)
            self._proxy.__enter__()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the agent and its running actions. It is safe to call twice."""
        proxy, self._proxy = self._proxy, None
        try:
            if proxy is not None:
                proxy.__exit__()
        finally:
            super().stop()
