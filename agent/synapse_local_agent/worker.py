"""The process that runs actions: a program of its own, with the standard library alone.

It is started as `python -P worker.py FD`, with any Python that the action's environment has, so it imports nothing of
the agent. Over the socket at FD it is sent a job and answers with an outcome, each as a length (8 bytes, big-endian)
and JSON. When the agent is gone the socket closes, and the whole process group ends.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import inspect
import json
import logging
import os
import queue
import signal
import socket
import struct
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

LENGTH = struct.Struct(">Q")


class ActionError(Exception):
    """The action did not come to a result; the outcome says how."""

    def __init__(self, error_type: str, detail: str) -> None:
        super().__init__(detail)
        self.outcome = {"error_type": error_type, "detail": detail}


def main(descriptor: int) -> None:
    """Answer jobs until the agent closes its end."""
    channel = socket.socket(fileno=descriptor)
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(channel, jobs), daemon=True).start()
    while True:
        answer = json.dumps(outcome(jobs.get())).encode()
        channel.sendall(LENGTH.pack(len(answer)) + answer)


def receive(channel: socket.socket, jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Put every job that arrives into the queue; end the process group when the agent is gone."""
    try:
        with channel.makefile("rb") as stream:
            while header := stream.read(LENGTH.size):
                jobs.put(json.loads(stream.read(*LENGTH.unpack(header))))
    finally:
        os.killpg(0, signal.SIGKILL)


def outcome(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job, whatever it does, and say what became of it."""
    try:
        result = run(job)
        sys.stdout.flush()
        sys.stderr.flush()
        check_json(result)
    except ActionError as failure:
        return failure.outcome
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like are the action's failures too
        return {"error_type": "action_failed", "detail": explain(error, job["path"])}
    return {"result": result}


def run(job: dict[str, Any]) -> Any:
    """Load the action and call it; return what it returns."""
    os.chdir(job["work_dir"])
    sys.path[:0] = job["path"]
    overlay(job["modules"], job["path"])
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
        result = asyncio.run(result)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise ActionError("action_result_not_json", "The action is a generator: return its values as a list.")
    return result


class Overlay(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Modules whose source was sent along, found before those in the sources."""

    def __init__(self, modules: dict[str, str], roots: list[str]) -> None:
        self.modules = modules
        self.roots = roots

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        _target: ModuleType | None = None,
        /,
    ) -> importlib.machinery.ModuleSpec | None:
        """The module, where it or one below it was sent; packages keep what the sources hold of them."""
        is_package = self.is_package(name)
        if name not in self.modules:
            if not is_package:
                return None
            # A package of which only a part was sent: that of the sources where there is one, an empty one elsewhere.
            in_sources = importlib.machinery.PathFinder.find_spec(name, path)
            if in_sources is not None and in_sources.loader is not None:
                return in_sources
        spec = importlib.machinery.ModuleSpec(name, self, is_package=is_package)
        if is_package:
            spec.submodule_search_locations = [str(Path(root, *name.split("."))) for root in self.roots]
        return spec

    def get_source(self, name: str) -> str:
        """The source as it was sent; tracebacks quote it."""
        return self.modules.get(name, "")

    def get_code(self, name: str) -> CodeType:
        """The source, compiled under the name that tracebacks show."""
        code: CodeType = compile(self.get_source(name), f"{name.replace('.', os.sep)}.py", "exec", dont_inherit=True)
        return code

    def is_package(self, name: str) -> bool:
        """Whether modules below it were sent."""
        return any(other.startswith(f"{name}.") for other in self.modules)


def overlay(modules: dict[str, str], roots: list[str]) -> None:
    """Lay modules over the sources."""
    if modules:
        sys.meta_path.insert(0, Overlay(modules, roots))


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
    """How the action is called.

    With `params` as its first parameter it gets them whole, and the context where it has a second one. Otherwise it
    gets the params as keywords, and the context where it has a parameter of that name.
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
            "action_failed", f"The action {action!r}{signature} does not take these params: {error}"
        ) from None
    return (), keywords


def logger() -> logging.Logger:
    """A logger whose lines go to the run's log."""
    log = logging.getLogger("action")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    return log


def check_json(result: Any) -> None:
    """Refuse a result that is not JSON, naming the value that is not."""
    try:
        dump(result)
    except (TypeError, ValueError, RecursionError) as error:
        where = culprit(result, "result")
        raise ActionError("action_result_not_json", f"The action's result is not JSON: {where}: {error}") from None


def dump(value: Any) -> bytes:
    """JSON as it is sent, or an error."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def culprit(value: Any, path: str) -> str:
    """The path of the innermost part of a value that is not JSON."""
    if isinstance(value, dict):
        parts = [(f"{path}.{key}", part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    else:
        return path
    for inner, part in parts:
        try:
            dump(part)
        except (TypeError, ValueError):
            return culprit(part, inner)
        except RecursionError:
            return f"{inner} (nested too deep)"
    return path


def explain(error: BaseException, roots: list[str]) -> str:
    """The exception and its traceback, without the frames of this file, and with paths within the plugin."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, importlib.__file__):
        trace = trace.tb_next
    summary = "".join(traceback.format_exception_only(error)).strip()
    text = "".join(traceback.format_exception(type(error), error, trace))
    for root in roots:
        text = text.replace(f"{root}{os.sep}", "")
    return f"{summary}\n\n{text}".strip().encode(errors="backslashreplace").decode()  # lone surrogates cannot travel


if __name__ == "__main__":
    main(int(sys.argv[1]))
