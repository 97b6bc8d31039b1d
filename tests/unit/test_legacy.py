"""The calling conventions of v1 beside today's."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from synapse_sdk.clients.agent.legacy import split_action


def test_a_name_is_todays_convention() -> None:
    """An action's name is taken as it is."""
    assert split_action("run_plugin_release", "train", None) == ("train", None)


@pytest.mark.parametrize("body", [{}, {"action": "train", "more": 1}, MappingProxyType({"action": "train"})])
def test_a_body_in_the_actions_place_is_taken_as_it_is(body: Any) -> None:
    """A dict where today the action stands is the whole body, and is neither copied nor completed."""
    name, data = split_action("run_plugin_release", body, None)
    assert name is None
    assert data is body


@pytest.mark.parametrize("action", [None, "train", {"action": "other"}, "", 5])
@pytest.mark.parametrize("body", [{}, {"action": "train"}])
def test_data_wins(action: object, body: dict[str, Any]) -> None:
    """With data given, empty too, the action's place does not matter."""
    name, data = split_action("run_debug_plugin_release", action, body)
    assert name is None
    assert data is body


@pytest.mark.parametrize("action", [None, "", "  "])
def test_one_of_both_is_needed(action: str | None) -> None:
    """With neither an action nor data, the error names the method and both ways to call it."""
    with pytest.raises(TypeError, match=r"run_plugin_release\(\) needs action='...'.* or data=\{...\}"):
        split_action("run_plugin_release", action, None)


@pytest.mark.parametrize("action", [5, b"train", ["train"], ...])
def test_an_action_is_a_text(action: object) -> None:
    """An action that is neither text nor a dict is refused."""
    with pytest.raises(TypeError, match="takes the action's name as text"):
        split_action("run_plugin_release", action, None)


@pytest.mark.parametrize("body", ["train", b"{}", ["action"], 5, ...])
def test_data_is_a_dict(body: Any) -> None:
    """Data that is no dict is refused by its name."""
    with pytest.raises(TypeError, match="takes data as a dict"):
        split_action("run_plugin_release", "train", body)
