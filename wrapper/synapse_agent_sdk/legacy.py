"""The calling conventions of v1, which old code still uses.

There, a run took its whole body as one dict: by the name `data`, as the second positional argument of
`run_plugin_release`, or as the first of `run_debug_plugin_release`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def split_action(method: str, action: object, data: Mapping[str, Any] | None) -> tuple[str | None, Any]:
    """Tell today's convention from that of v1.

    Args:
        method: Name of the method that was called, for the message.
        action: What stands in the action's place: its name, or the whole body as in v1.
        data: The whole body by name, which wins.

    Returns:
        The action's name and None, or None and the body, which is to be sent as it is.

    Raises:
        TypeError: If there is neither an action nor a body, or one of a wrong type.

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
        msg = f"{method}() needs action='...', the action to run, or data={{...}}, the whole body as in v1"
        raise TypeError(msg)
    if not isinstance(action, str):
        msg = f"{method}() takes the action's name as text, not {action!r:.100}"
        raise TypeError(msg)
    return action, None
