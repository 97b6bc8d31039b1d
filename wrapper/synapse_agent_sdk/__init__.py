"""The SDK that drives plugin agents.

Start with `synapse_sdk.clients.agent`:

    from synapse_sdk.clients.agent import AgentClient
"""

from __future__ import annotations

from synapse_sdk._conflict import warn_of_published_package
from synapse_sdk._version import __version__

__all__ = ["__version__"]

warn_of_published_package()
