"""Re-exports the mixins of `synapse_agent_sdk`."""

from __future__ import annotations

from synapse_agent_sdk.async_plugin_releases import AsyncPluginClientMixin
from synapse_agent_sdk.plugin_releases import PluginClientMixin

__all__ = ["AsyncPluginClientMixin", "PluginClientMixin"]
