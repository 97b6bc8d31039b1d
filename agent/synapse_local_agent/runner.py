"""Running actions: each in a process of its own, which cannot take the agent down with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKER = Path(__file__).with_name("worker.py")
LENGTH = struct.Struct(">Q")
ANSWER = struct.Struct(">?Q")
MAX_ANSWER_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Job:
    """An action to run, and all that it is given."""

    action: str
    entrypoint: str
    path: list[str]
    """Folders that are put in front of the import path."""
    modules: dict[str, str]
    """Sources by module name, which are laid over those in the folders."""
    params: dict[str, Any]
    plugin: str | None
    version: str | None
    config: dict[str, Any]
    job_id: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: its result, or the kind of its failure with a detail for a person."""

    result: bytes = b""
    """JSON as the action's process wrote it. It is passed on unread, so that no result can trouble the agent."""
    error_type: str | None = None
    detail: str = ""


class Runner:
    """Runs jobs, and ends their processes when it is closed."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder / "runs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._environment = {name: value for name, value in environment.items() if not name.startswith("SYNAPSE_")}
        self._processes: set[asyncio.subprocess.Process] = set()
        self._closed = False

    def close(self) -> None:
        """End all running actions, and any that is started later; each ends in `action_crashed`."""
        self._closed = True
        for process in self._processes:
            _kill_group(process)

    async def run(self, job: Job) -> Outcome:
        """Run a job in a process of its own, whose output goes to a log file in a folder of the run's own."""
        folder = self._folder / secrets.token_hex(8)
        work_dir = folder / "work"
        work_dir.mkdir(mode=0o700, parents=True)
        ours, theirs = socket.socketpair()
        with ours, theirs, (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-B", str(WORKER), str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
            theirs.close()
            self._processes.add(process)
            if self._closed:
                _kill_group(process)
            try:
                given = {field.name: getattr(job, field.name) for field in fields(job)}
                return await _converse(process, ours, {**given, "work_dir": str(work_dir)})
            finally:
                _kill_group(process)
                await process.wait()
                self._processes.discard(process)
                shutil.rmtree(work_dir, ignore_errors=True)


async def _converse(process: asyncio.subprocess.Process, channel: socket.socket, job: dict[str, Any]) -> Outcome:
    """Send a job to a worker and wait for its answer, or its death."""
    reader, writer = await asyncio.open_connection(sock=channel)
    answer = asyncio.create_task(_exchange(reader, writer, job))
    # A dead worker may leave children that hold the socket open, so its end is watched for as well.
    death = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({answer, death}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            # What it wrote before it died is still to be read.
            await asyncio.wait({answer}, timeout=0.05)
        if answer.done() and answer.exception() is None:
            return answer.result()
        return Outcome(error_type="action_crashed", detail=await _cause_of_death(process))
    finally:
        for task in (answer, death):
            task.cancel()
        await asyncio.gather(answer, death, return_exceptions=True)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, job: dict[str, Any]) -> Outcome:
    message = json.dumps(job).encode()
    writer.write(LENGTH.pack(len(message)) + message)
    await writer.drain()
    is_result, length = ANSWER.unpack(await reader.readexactly(ANSWER.size))
    if length > MAX_ANSWER_BYTES:
        detail = f"The action's result has {length} bytes of JSON, which is more than {MAX_ANSWER_BYTES}."
        return Outcome(error_type="action_result_not_json", detail=detail)
    answer = await reader.readexactly(length)
    return Outcome(answer) if is_result else Outcome(**json.loads(answer))


async def _cause_of_death(process: asyncio.subprocess.Process) -> str:
    try:
        code = await asyncio.wait_for(process.wait(), 1)
    except TimeoutError:
        return "The action's process closed its channel to the agent."
    if code < 0:
        return f"The action's process was ended by signal {-code} ({signal.strsignal(-code)})."
    return f"The action's process ended by itself, with exit code {code}."


def _kill_group(process: asyncio.subprocess.Process) -> None:
    """End a worker and all that it started; it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
