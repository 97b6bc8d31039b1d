"""Encoding of results, and messages about failures."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any


class ActionError(Exception):
    """The action has no valid result."""

    def __init__(self, error_type: str, detail: str) -> None:
        super().__init__(detail)
        self.error_type = error_type
        self.detail = detail


def encode(result: Any) -> bytes:
    """Encode a result as JSON.

    Raises:
        ActionError: If it is not JSON; the message has the path of the invalid value.
    """
    try:
        return dump(result)
    except (TypeError, ValueError, RecursionError) as error:
        where = culprit(result)
        raise ActionError("action_result_not_json", f"The action's result is not JSON: {where}: {error}") from None


def dump(value: Any) -> bytes:
    """Encode a value as JSON, or raise an error."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def culprit(value: Any) -> str:
    """The path of the innermost value of a result that is not JSON."""
    path = "result"
    seen = set()
    while id(value) not in seen:
        seen.add(id(value))
        for inner, part in parts(value, path):
            try:
                dump(part)
            except RecursionError:
                return f"{inner} (nested too deep)"
            except (TypeError, ValueError):
                value, path = part, inner
                break
        else:
            return path
    return f"{path} (circular reference)"


def parts(value: Any, path: str) -> list[tuple[str, Any]]:
    """The items of a value, with their paths."""
    if isinstance(value, dict):
        return [(f"{path}.{key}", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    return []


def exit_detail(error: SystemExit) -> str:
    """A message about a call of `sys.exit`, whose argument is an exit code or a message."""
    if error.code is None or isinstance(error.code, int):
        return f"The action's process ended by itself, with exit code {error.code or 0}."
    return f"The action's process ended by itself, with exit code 1: {error.code}"


def explain(error: BaseException, roots: list[str]) -> str:
    """The exception and its traceback, with only the plugin's frames and paths relative to the plugin."""
    folders = [f"{root}{os.sep}" for root in roots]
    report = traceback.TracebackException.from_exception(error)
    linked = [report]
    for part in linked:
        own = [frame for frame in part.stack if is_own(frame.filename, folders)]
        part.stack = traceback.StackSummary.from_list(own)
        linked += [other for other in (part.__cause__, part.__context__, *(part.exceptions or ())) if other is not None]
    text = "".join(report.format_exception_only()).strip()
    if any(part.stack for part in linked):
        text += "\n\n" + "".join(report.format()).strip()
    for folder in folders:
        text = text.replace(folder, "")
    return text


def is_own(filename: str, folders: list[str]) -> bool:
    """Whether a file belongs to the plugin: in its folders, or a module from the request."""
    if not Path(filename).is_absolute():
        return not filename.startswith("<frozen ")
    return any(filename.startswith(folder) for folder in folders)
