"""The import paths of the published `synapse-sdk`, where that is not installed: everything is of `synapse_agent_sdk`.

This folder is at the end of `sys.path`, so that the published package always comes first. docs/decisions/0007 says how.
"""

from __future__ import annotations

from synapse_agent_sdk import __version__

__all__ = ["__version__"]
