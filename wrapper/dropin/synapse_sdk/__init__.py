"""Import paths of the published `synapse-sdk` if that is not installed; re-exports `synapse_agent_sdk`.

This folder is at the end of `sys.path`, so that the published package takes precedence; see docs/decisions/0007.
"""

from __future__ import annotations

from synapse_agent_sdk import __version__

__all__ = ["__version__"]
