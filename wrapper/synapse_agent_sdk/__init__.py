"""The SDK that drives plugin agents.

    from synapse_agent_sdk import AgentClient

    with AgentClient("http://127.0.0.1:8600", "token") as client:
        client.run_plugin_release("text_stats@1.0.0", "analyze", {"path": "/tmp/text"})

Errors stand in `synapse_agent_sdk.exceptions`.
"""

from __future__ import annotations

from synapse_agent_sdk._version import __version__
from synapse_agent_sdk.client import AgentClient, AsyncAgentClient
from synapse_agent_sdk.lookup import ReleaseLookup
from synapse_agent_sdk.raw_response import RawResponse
from synapse_agent_sdk.runtime.retry import RetryPolicy

__all__ = ["AgentClient", "AsyncAgentClient", "RawResponse", "ReleaseLookup", "RetryPolicy", "__version__"]
