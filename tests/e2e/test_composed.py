"""What the client composes of several operations, against a real agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse_sdk.clients.agent import AgentClient

from tests.agent.helpers import write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path


def test_pruning_leaves_the_newest_of_each_plugin(tmp_path: Path) -> None:
    """A real agent's releases have an age that is read, and only those that were asked for are gone."""
    for code, version in (("ocr", "1"), ("ocr", "2"), ("ocr", "3"), ("seg", "1"), ("seg", "2")):
        write_plugin(tmp_path, code, {"plugin.py": ""}, version=version, folder=code + version)
    with ThreadedAgent(tmp_path) as agent, AgentClient(agent.url, agent.token) as client:
        for code, version in (("ocr", "1"), ("seg", "1"), ("ocr", "2"), ("seg", "2"), ("ocr", "3")):
            client.create_plugin_release(code, version)
        assert client.prune_plugin_releases(older_than="1h", keep=1) == []
        would = client.prune_plugin_releases(keep=1, plugin="ocr", dry_run=True)
        assert client.prune_plugin_releases(keep=1, plugin="ocr") == would
        left = [(each["plugin"], each["version"]) for each in client.iter_plugin_releases()]
    assert [each["version"] for each in would] == ["1", "2"]
    assert sorted(left) == [("ocr", "3"), ("seg", "1"), ("seg", "2")]
