"""Loading an action and calling it."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from . import overlay
from .report import ActionError


def run(job: dict[str, Any]) -> Any:
    """Load the action and call it; return its result."""
    os.chdir(job["work_dir"])
    if sys.path[: len(job["path"])] != job["path"]:  # a reused process already has it
        sys.path[:0] = job["path"]
    overlay.lay(job["modules"], job["path"])
    target = load(job["entrypoint"])
    context = SimpleNamespace(
        **{name: job[name] for name in ("job_id", "language", "plugin", "version", "config")},
        logger=logger(),
        work_dir=Path(job["work_dir"]),
    )
    args, kwargs = arguments(target, job["params"], context, job["action"])
    result = target(*args, **kwargs)
    if inspect.isclass(target):
        result = result.execute()
    if inspect.iscoroutine(result):
        import asyncio  # slower to import than all the rest

        result = asyncio.run(result)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise ActionError("action_result_not_json", "The action is a generator: return a list of its values.")
    return result


def load(entrypoint: str) -> Any:
    """The object at `module:attribute` or `module.attribute`."""
    module, _, name = entrypoint.rpartition(":" if ":" in entrypoint else ".")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    return target


def arguments(
    target: Any, params: dict[str, Any], context: SimpleNamespace, action: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the call.

    If the first parameter is `params` or positional-only, the action gets the params as a dict, and the context as the
    second argument if it has one. Otherwise it gets the params as keywords, and the context as `context` if it has such
    a parameter.
    """
    signature = inspect.signature(target)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [parameter for parameter in signature.parameters.values() if parameter.kind in kinds]
    if positional and (positional[0].name.lstrip("_") == "params" or positional[0].kind is kinds[0]):
        second = positional[1] if len(positional) > 1 else None
        wants_context = second is not None and (second.default is second.empty or second.name == "context")
        return ((params, context) if wants_context else (params,)), {}
    takes_context = "context" in signature.parameters and "context" not in params
    keywords = {**params, "context": context} if takes_context else params
    try:
        signature.bind(**keywords)
    except TypeError as error:
        raise ActionError(
            "action_failed", f"The action {action!r}{signature} does not accept these params: {error}"
        ) from None
    return (), keywords


def logger() -> logging.Logger:
    """A logger that writes to the run's log."""
    log = logging.getLogger("action")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    return log
