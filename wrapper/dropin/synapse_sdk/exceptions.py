"""The errors of `synapse_agent_sdk`, the same classes."""

from __future__ import annotations

from synapse_agent_sdk.exceptions import *  # noqa: F403 - all of them, and nothing else
