"""The v1 calling convention."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from synapse_agent_sdk.legacy import split_action

from tests.unit.helpers import refusal

RUN = "run_plugin_release"


def test_an_action_is_a_name_or_a_whole_body() -> None:
    """An action is a name or a whole body, data takes precedence, and bodies are not copied."""
    assert split_action(RUN, "train", None) == ("train", None)
    bodies: list[Any] = [{}, {"action": "train", "more": 1}, MappingProxyType({"action": "train"})]
    for body in bodies:
        calls: list[Any] = [(body, None), *((action, body) for action in (None, "train", {"action": "other"}, 5))]
        for action, data in calls:
            name, found = split_action(RUN, action, data)
            assert name is None
            assert found is body


def test_an_invalid_action_is_rejected() -> None:
    """If action and data are missing, or have the wrong type, the error names the method and what it takes."""
    needs = "needs action='...' (the action to run) or data={...} (the whole body, as in v1)"
    wrong: list[tuple[Any, Any, str]] = [
        *((blank, None, needs) for blank in (None, "", "  ")),
        *((name, None, f"takes the action's name as a string, not {name!r}") for name in (5, b"train", ["train"])),
        *(("train", body, f"takes data as a dict, not {body!r}") for body in ("train", b"{}", ["action"])),
    ]
    for action, data, message in wrong:
        assert refusal(TypeError, split_action, RUN, action, data) == f"run_plugin_release() {message}"
