"""A local agent: a real server, driven by the contract, that runs real plugins.

Example:
    >>> with LocalAgent(registry="examples/plugins") as agent:
    ...     client = AgentClient(agent.url, agent.token)
    ...     client.health_check()["status"]
    ...     client.close()
    'ok'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse_local_agent.errors import RegistryError
from synapse_local_agent.hosts import HostError
from synapse_local_agent.limits import Limits
from synapse_local_agent.lock import DataInUseError
from synapse_local_agent.tokens import TokenError

if TYPE_CHECKING:
    from synapse_local_agent.server import LocalAgent

__all__ = ["DataInUseError", "HostError", "Limits", "LocalAgent", "RegistryError", "TokenError"]


def __getattr__(name: str) -> Any:
    """Import the server with the first use, since the nodes of a cluster have this package, but not what serves."""
    if name == "LocalAgent":
        from synapse_local_agent.server import LocalAgent

        return LocalAgent
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
