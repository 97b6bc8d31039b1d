"""The calling conventions of v1 beside today's."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from synapse_sdk.clients.agent.legacy import split_action

from tests.unit.helpers import refusal

RUN = "run_plugin_release"


def test_a_name_is_todays_convention() -> None:
    """An action's name is taken as it is."""
    assert split_action(RUN, "train", None) == ("train", None)


def test_a_body_in_the_actions_place_is_taken_as_it_is() -> None:
    """A dict where today the action stands is the whole body, and is neither copied nor completed."""
    bodies: list[Any] = [{}, {"action": "train", "more": 1}, MappingProxyType({"action": "train"})]
    for body in bodies:
        name, data = split_action(RUN, body, None)
        assert name is None
        assert data is body


def test_data_wins() -> None:
    """With data given, empty too, the action's place does not matter."""
    for action in (None, "train", {"action": "other"}, "", 5):
        for body in ({}, {"action": "train"}):
            name, data = split_action(RUN, action, body)
            assert name is None
            assert data is body


def test_what_is_no_action_is_refused() -> None:
    """With neither an action nor data, or one of a wrong type, the error names the method and says what it takes."""
    for blank in (None, "", "  "):
        expected = "run_plugin_release() needs action='...', the action to run, or data={...}, the whole body as in v1"
        assert refusal(TypeError, split_action, RUN, blank, None) == expected
    for action in (5, b"train", ["train"]):
        expected = f"run_plugin_release() takes the action's name as text, not {action!r}"
        assert refusal(TypeError, split_action, RUN, action, None) == expected
    for body in ("train", b"{}", ["action"]):
        expected = f"run_plugin_release() takes data as a dict, not {body!r}"
        assert refusal(TypeError, split_action, RUN, "train", body) == expected
