"""A local agent: a real server, built from the contract, that runs real plugins.

Example:
    >>> with LocalAgent(registry="examples/plugins") as agent:
    ...     client = AgentClient(agent.url, agent.token)
    ...     client.health_check()["status"]
    ...     client.close()
    'ok'
"""

from __future__ import annotations

from synapse_local_agent.errors import RegistryError
from synapse_local_agent.limits import Limits
from synapse_local_agent.local_agent import LocalAgent
from synapse_local_agent.releases.data_lock import DataInUseError
from synapse_local_agent.web.host_header import HostError
from synapse_local_agent.web.tokens import TokenError

__all__ = ["DataInUseError", "HostError", "Limits", "LocalAgent", "RegistryError", "TokenError"]
