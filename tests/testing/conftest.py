"""How the projects of users are run."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def only_our_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest's other plugins that are installed here take seconds to import, in each project that is run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "synapse_agent_sdk.testing.plugin")
