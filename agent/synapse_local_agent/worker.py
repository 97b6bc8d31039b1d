"""The processes that run actions: a program of its own, with the standard library alone.

It is started as `python -P -B -X utf8 worker.py FD`, with any Python that the action's environment has, so it imports
nothing of the agent. It parts into two: the worker, which runs actions, one at a time, in a process group of its own;
and above it the guard, which runs nothing of the plugin's and ends all that came of the worker as soon as the worker
ends or the agent is gone. docs/decisions/0010 says why.

Over the socket at FD the worker is sent jobs, each as a length (8 bytes, big-endian) and JSON. It answers each with
whether there is a result (1 byte), whether it can run another job (1 byte), a length and JSON: the result, or how the
action failed.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import inspect
import json
import logging
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

LENGTH = struct.Struct(">Q")
ANSWER = struct.Struct(">??Q")
PROC = Path("/proc")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class ActionError(Exception):
    """The action did not come to a result; the outcome says how."""

    def __init__(self, error_type: str, detail: str) -> None:
        super().__init__(detail)
        self.error_type = error_type
        self.detail = detail


def main(descriptor: int) -> None:
    """Part into guard and worker."""
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    guard_process = os.getpid()
    control(PR_SET_CHILD_SUBREAPER, 1)
    process = os.fork()
    if process:
        guard(channel, process)
    os.setsid()
    control(PR_SET_CHILD_SUBREAPER, 1)  # so that it can tell whether an action left something behind
    control(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == guard_process:
        work(channel)


def control(option: int, value: int) -> None:
    """Ask Linux for something about this process; elsewhere there is no such thing."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def guard(channel: socket.socket, worker: int) -> None:
    """End all that came of the worker once it has ended or the agent is gone; then end as the worker did.

    The socket closes with the guard, so when the agent sees that, nothing of the worker is left.
    """

    def wait_for_agent() -> None:
        gone = select.poll()
        gone.register(channel, 0)
        gone.poll()
        end_all(worker)

    threading.Thread(target=wait_for_agent, daemon=True).start()
    status = None
    with contextlib.suppress(ChildProcessError):  # the other thread was faster
        while status is None:
            process, ended = os.wait()
            status = ended if process == worker else None
    end_all(worker)
    code = 1 if status is None else os.waitstatus_to_exitcode(status)
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # SIGKILL has no handler to set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def end_all(worker: int) -> None:
    """End every process below this one, also those that left the worker's group, until there is none."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)
        if not has_children():
            return
        below = descendants()
        for number in (signal.SIGSTOP, signal.SIGKILL):  # all are stopped first, so that none makes another
            for process in below:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
        time.sleep(0.001)


def descendants() -> list[int]:
    """The processes below this one, as /proc has them, but those that ended and wait to be noticed."""
    parents = {}
    for entry in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may end at any time
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(entry.parent.name)] = int(parent)
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def has_children() -> bool:
    """Whether there is a child; those that have ended are taken note of."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def work(channel: socket.socket) -> None:
    """Answer jobs until the agent closes its end."""
    process, environment = os.getpid(), dict(os.environ)
    stream = channel.makefile("rb")
    while header := stream.read(LENGTH.size):
        job = json.loads(stream.read(*LENGTH.unpack(header)))
        redirect(job["log"])
        is_result, is_sound, answer = outcome(job)
        if os.getpid() != process:
            os._exit(0)  # a fork of the action's that came back here: the answer is its parent's to give
        if is_sound:
            signal.alarm(0)
            if environment != dict(os.environ):
                os.environ.clear()
                os.environ.update(environment)
        is_reusable = is_sound and threading.active_count() == 1 and not has_children()
        channel.sendall(ANSWER.pack(is_result, is_reusable, len(answer)) + answer)


def redirect(log: str) -> None:
    """Let output go to a run's log from here on, whatever the action before did to the streams."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(file, number)
        stream = getattr(sys, f"__{name}__")
        if stream is None or stream.closed:
            stream = open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - a descriptor, open for good
            setattr(sys, f"__{name}__", stream)
        stream.reconfigure(line_buffering=True)
        setattr(sys, name, stream)
    os.close(file)


def outcome(job: dict[str, Any]) -> tuple[bool, bool, bytes]:
    """Run a job, whatever it does.

    Returns:
        Whether there is a result, whether the process is sound, and as JSON the result or the failure.
    """
    is_sound = False
    try:
        return True, True, encode(run(job))
    except ActionError as failure:
        error_type, detail, is_sound = failure.error_type, failure.detail, True
    except SystemExit as error:
        error_type, detail = "action_crashed", exit_detail(error)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the action's failure
        error_type, detail = "action_failed", explain(error, job["path"])
        is_sound = isinstance(error, Exception) and not isinstance(error, MemoryError)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the action may have closed or replaced them
                stream.flush()
    detail = detail.encode(errors="backslashreplace").decode()  # lone surrogates cannot travel
    return False, is_sound, json.dumps({"error_type": error_type, "detail": detail}).encode()


def run(job: dict[str, Any]) -> Any:
    """Load the action and call it; return what it returns."""
    os.chdir(job["work_dir"])
    if sys.path[: len(job["path"])] != job["path"]:  # a process that is used again has it already
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
        import asyncio  # it takes longer to import than all the rest

        result = asyncio.run(result)
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise ActionError("action_result_not_json", "The action is a generator: return its values as a list.")
    return result


class Overlay:
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
        if name not in self.modules and not self.is_package(name):
            return None
        in_sources = importlib.machinery.PathFinder.find_spec(name, path)
        if name not in self.modules and in_sources is not None and in_sources.loader is not None:
            # A package of which only a part was sent; where the sources do not have it, an empty one stands for it.
            return in_sources
        folders = None if in_sources is None else in_sources.submodule_search_locations
        is_package = self.is_package(name) or folders is not None
        spec = importlib.machinery.ModuleSpec(name, self, is_package=is_package)  # type: ignore[arg-type]  # it has what a loader needs; importing the base class takes 10 ms
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations += folders or [str(Path(root, *name.split("."))) for root in self.roots]
        return spec

    def get_source(self, name: str) -> str:
        """The source as it was sent; tracebacks quote it."""
        return self.modules.get(name, "")

    def create_module(self, _spec: importlib.machinery.ModuleSpec) -> None:
        """Leave it to Python to make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source, compiled under the name that tracebacks show."""
        name = module.__name__
        code = compile(self.get_source(name), f"{name.replace('.', os.sep)}.py", "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102 - to run what was sent is what a debug run is for

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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    return log


def encode(result: Any) -> bytes:
    """A result as JSON.

    Raises:
        ActionError: If it is not JSON; the message names the value that is not.
    """
    try:
        return dump(result)
    except (TypeError, ValueError, RecursionError) as error:
        where = culprit(result)
        raise ActionError("action_result_not_json", f"The action's result is not JSON: {where}: {error}") from None


def dump(value: Any) -> bytes:
    """JSON as it is sent, or an error."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def culprit(value: Any) -> str:
    """The path of the innermost part of a result that is not JSON."""
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
    return f"{path} (holds itself)"


def parts(value: Any, path: str) -> list[tuple[str, Any]]:
    """What a value holds, each part with its path."""
    if isinstance(value, dict):
        return [(f"{path}.{key}", part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    return []


def exit_detail(error: SystemExit) -> str:
    """What to say of an action that called `sys.exit`, whose argument is a code or a last message."""
    if error.code is None or isinstance(error.code, int):
        return f"The action's process ended by itself, with exit code {error.code or 0}."
    return f"The action's process ended by itself, with exit code 1: {error.code}"


def explain(error: BaseException, roots: list[str]) -> str:
    """The exception and its traceback: the plugin's own frames alone, with paths within the plugin."""
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
    """Whether a file is the plugin's: below its folders, or a module that was sent along."""
    if not Path(filename).is_absolute():
        return not filename.startswith("<frozen ")
    return any(filename.startswith(folder) for folder in folders)


if __name__ == "__main__":
    main(int(sys.argv[1]))
