"""SDK for plugin agents.

    from synapse_agent_sdk import AgentClient

    with AgentClient("http://127.0.0.1:8600", "token") as client:
        client.run_plugin_release("text_stats@1.0.0", "analyze", {"path": "/tmp/text"})

Errors are in `synapse_agent_sdk.exceptions`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from synapse_agent_sdk._version import __version__

if TYPE_CHECKING:
    from synapse_agent_sdk.client import AgentClient, AsyncAgentClient
    from synapse_agent_sdk.lookup import ReleaseLookup
    from synapse_agent_sdk.raw_response import RawResponse
    from synapse_agent_sdk.runtime.retry import RetryPolicy

__all__ = ["AgentClient", "AsyncAgentClient", "RawResponse", "ReleaseLookup", "RetryPolicy", "__version__"]

_MODULES = {
    "AgentClient": "client",
    "AsyncAgentClient": "client",
    "RawResponse": "raw_response",
    "ReleaseLookup": "lookup",
    "RetryPolicy": "runtime.retry",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: errors, pytest and `--help` do not need httpx."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
