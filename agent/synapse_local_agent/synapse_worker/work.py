"""The worker: it takes jobs from the agent one at a time, and returns their outcomes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any

from . import actions, report

if TYPE_CHECKING:
    import socket

JOB = struct.Struct(">QQ")
SIGNAL = struct.Struct(">cQ")
READY, GO = b"R", b"G"
ANSWER = struct.Struct(">Q??Q")


def serve(channel: socket.socket) -> None:
    """Run jobs until the agent closes its end."""
    process, environment = os.getpid(), dict(os.environ)
    stream = channel.makefile("rb")
    while header := stream.read(JOB.size):
        number, length = JOB.unpack(header)
        job = json.loads(stream.read(length))
        redirect(job["log"])
        channel.sendall(SIGNAL.pack(READY, number))
        if stream.read(SIGNAL.size) != SIGNAL.pack(GO, number):
            return  # the agent is gone, or has cancelled the job
        is_result, is_sound, answer = outcome(job)
        if os.getpid() != process:
            os._exit(0)  # a fork of the action returned here: only its parent responds
        signal.alarm(0)
        is_reusable = is_sound and threading.active_count() == 1 and not has_children()
        channel.sendall(ANSWER.pack(number, is_result, is_reusable, len(answer)) + answer)
        if environment != dict(os.environ):  # compared after the response, since it is slow
            os.environ.clear()
            os.environ.update(environment)


def redirect(log: str) -> None:
    """Redirect output to a run's log, whatever the previous action did to the streams."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(file, number)
        stream = getattr(sys, f"__{name}__")
        if stream is None or stream.closed:
            stream = open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115 - stays open
            setattr(sys, f"__{name}__", stream)
        stream.reconfigure(line_buffering=True)
        setattr(sys, name, stream)
    os.close(file)


def outcome(job: dict[str, Any]) -> tuple[bool, bool, bytes]:
    """Run a job; never raises.

    Returns:
        Whether there is a result, whether the process is sound, and the result or failure as JSON.
    """
    is_sound = False
    try:
        return True, True, report.encode(actions.run(job))
    except report.ActionError as failure:
        error_type, detail, is_sound = failure.error_type, failure.detail, True
    except SystemExit as error:
        error_type, detail = "action_crashed", report.exit_detail(error)
    except BaseException as error:  # noqa: BLE001 - any exception is the action's failure
        error_type, detail = "action_failed", report.explain(error, job["path"])
        is_sound = isinstance(error, Exception) and not isinstance(error, MemoryError)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # the action may have closed or replaced them
                stream.flush()
    detail = detail.encode(errors="backslashreplace").decode()  # lone surrogates cannot be encoded
    return False, is_sound, json.dumps({"error_type": error_type, "detail": detail}).encode()


def has_children() -> bool:
    """Whether there are child processes, after reaping zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
