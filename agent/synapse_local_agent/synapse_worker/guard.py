"""The guard, parent of each worker: it ends all descendants. docs/decisions/0010 gives the reasons."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from . import work

PROC = Path("/proc")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(descriptor: int) -> None:
    """Fork into guard and worker."""
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    guard_process = os.getpid()
    control(PR_SET_CHILD_SUBREAPER, 1)
    process = os.fork()
    if process:
        guard(channel, process)
    os.setsid()
    control(PR_SET_CHILD_SUBREAPER, 1)  # to detect processes that an action left behind
    control(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == guard_process:
        work.serve(channel)


def control(option: int, value: int) -> None:
    """Call prctl for this process; does nothing except on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def guard(channel: socket.socket, worker: int) -> None:
    """End all descendants once the worker has ended or the agent is gone; then exit like the worker.

    The socket closes with the guard, so when the agent sees that, no process of the worker is left.
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
    """End all descendants of this process, including those that left the worker's group."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)
        if not work.has_children():
            return
        below = descendants()
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stop all first, so that they cannot fork
            for process in below:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
        time.sleep(0.001)


def descendants() -> list[int]:
    """The descendants of this process, from /proc, except zombies."""
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
