"""Re-exports the clients of `synapse_agent_sdk`."""

from __future__ import annotations

from synapse_agent_sdk import AgentClient, AsyncAgentClient, RawResponse, ReleaseLookup, RetryPolicy

__all__ = ["AgentClient", "AsyncAgentClient", "RawResponse", "ReleaseLookup", "RetryPolicy"]
