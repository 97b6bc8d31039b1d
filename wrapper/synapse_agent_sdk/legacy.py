"""The v1 calling convention, which is still supported.

In v1 a run took its whole body as one dict: as `data`, as the second positional argument of `run_plugin_release`, or
as the first of `run_debug_plugin_release`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def split_action(method: str, action: object, data: Mapping[str, Any] | None) -> tuple[str | None, Any]:
    """Split an action argument into the action's name and a v1 body.

    Args:
        method: Name of the called method, for error messages.
        action: The action's name, or the whole body as in v1.
        data: The whole body; takes precedence.

    Returns:
        The action's name and None, or None and the body, to send unchanged.

    Raises:
        TypeError: If both are missing, or one has the wrong type.

    Example:
        >>> split_action("run_plugin_release", "train", None)
        ('train', None)
        >>> split_action("run_plugin_release", {"action": "train"}, None)
        (None, {'action': 'train'})
    """
    if data is not None:
        if not isinstance(data, Mapping):
            msg = f"{method}() takes data as a dict, not {data!r:.100}"
            raise TypeError(msg)
        return None, data
    if isinstance(action, Mapping):
        return None, action
    if action is None or (isinstance(action, str) and not action.strip()):
        msg = f"{method}() needs action='...' (the action to run) or data={{...}} (the whole body, as in v1)"
        raise TypeError(msg)
    if not isinstance(action, str):
        msg = f"{method}() takes the action's name as a string, not {action!r:.100}"
        raise TypeError(msg)
    return action, None
