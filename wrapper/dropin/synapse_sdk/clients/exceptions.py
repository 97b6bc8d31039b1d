"""Re-exports the errors of `synapse_agent_sdk`."""

from __future__ import annotations

from synapse_agent_sdk.exceptions import *  # noqa: F403 - re-exports `__all__`
