"""Processes that run actions, one at a time, and the pool of idle ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from synapse_local_agent.files import remove
from synapse_local_agent.runs.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_local_agent.processes.environments import Environment

WORKER = Path(__file__).parents[1] / "synapse_worker" / "__main__.py"
Kind = tuple[str | None, Hashable, Hashable]
"""Runs of one kind can share a process: the digest of the release, the Python, and the variables."""
JOB = struct.Struct(">QQ")
"""A job's number and the length of its JSON."""
SIGNAL = struct.Struct(">cQ")
"""`READY` from the process or `GO` from the agent, with the job's number."""
READY, GO = b"R", b"G"
ANSWER = struct.Struct(">Q??Q")
"""The job's number, whether it has a result, whether the process is reusable, and the length of the JSON."""
FAILURES = frozenset({"action_failed", "action_crashed", "action_result_not_json"})
"""The error types that a process may report; only the agent reports the others."""
START_SECONDS = 120
"""How long a process may take to be ready for a job. It has imported no plugin code by then."""
ENDING_SECONDS = 15
"""How long a process may take to end; its guard gives up after 10 seconds."""


class NotReadyError(Exception):
    """The process ended or sent something invalid before it was ready: none of the job has run."""


class Process:
    """The agent's end of a `synapse_worker` process and its guard.

    A job starts in three steps, so that the agent always knows whether any of it may have run: the agent offers it, the
    process reports that it is ready, and the agent records the start and sends go. All messages about a job carry its
    random number; a message with another number ends the process. docs/decisions/0025 gives the reasons.
    """

    def __init__(self, python: str, variables: Mapping[str, str], log: Path) -> None:
        self._ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [python, "-P", "-B", "-X", "utf8", str(WORKER), str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=variables,
                    start_new_session=True,
                )
            except BaseException:
                self._ours.close()
                raise
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._job = 0
        self._forced_outcome: Outcome | None = None
        self._is_sound = False
        self.environment: Environment | None = None
        """Its environment, which it closes when it ends."""
        self.recycled_dir: Path | None = None
        """Its run folder while it is idle."""

    @property
    def is_reusable(self) -> bool:
        """Whether it can take another job."""
        return self._is_sound and self._forced_outcome is None

    @property
    def id(self) -> int:
        """The process id of the guard, the ancestor of all processes of the run."""
        return self._process.pid

    @property
    def is_waiting(self) -> bool:
        """Whether it seems able to take a job; only `offer` makes sure."""
        return self._streams is not None and self._process.poll() is None and not self._streams[0].at_eof()

    async def offer(self, message: bytes) -> None:
        """Offer it a job, as JSON, and wait until it is ready.

        Raises:
            NotReadyError: If it will never be ready: close it.
        """
        self._is_sound = False
        self._job = int.from_bytes(os.urandom(8))
        try:
            async with asyncio.timeout(START_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(sock=self._ours)
                reader, writer = self._streams
                writer.write(JOB.pack(self._job, len(message)) + message)
                await writer.drain()
                answer = await reader.readexactly(SIGNAL.size)
        except (asyncio.IncompleteReadError, OSError) as error:  # TimeoutError is an OSError
            raise NotReadyError from error
        if answer != SIGNAL.pack(READY, self._job):
            raise NotReadyError

    async def go(self, max_result: int) -> Outcome:
        """Start the offered job, and wait for its outcome or for the process to end."""
        try:
            assert self._streams is not None  # noqa: S101 - `offer` opened them
            outcome = await self._answer(*self._streams, max_result)
        except (asyncio.IncompleteReadError, OSError):
            code = await self.close()
            outcome = Outcome(error_type="action_crashed", detail=cause_of_death(code), exit=code)
        return self._forced_outcome or outcome

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, max_result: int) -> Outcome:
        writer.write(SIGNAL.pack(GO, self._job))
        number, is_result, is_reusable, length = ANSWER.unpack(await reader.readexactly(ANSWER.size))
        if number != self._job:
            return ILLEGIBLE
        if length > max_result:
            detail = f"The action's result is {length} bytes of JSON, more than the limit of {max_result}."
            return Outcome(error_type="action_result_too_large", detail=detail)
        answer = await reader.readexactly(length)
        outcome = Outcome(answer) if is_result else failure(answer)
        self._is_sound = is_reusable and outcome is not ILLEGIBLE
        return outcome

    def take_recycled_dir(self) -> Path | None:
        """Take its recycled folder, for a run."""
        recycled_dir, self.recycled_dir = self.recycled_dir, None
        return recycled_dir

    def end(self, outcome: Outcome) -> None:
        """End it with all its descendants; its job gets this outcome, unless it already has one."""
        if self._forced_outcome is None:
            self._forced_outcome = outcome
        with contextlib.suppress(OSError):  # it is already closed
            self._ours.shutdown(socket.SHUT_RDWR)

    async def close(self) -> int | None:
        """End it, and wait until it is gone; return its exit code, or None if it does not end."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        limit = time.monotonic() + ENDING_SECONDS
        while self._process.poll() is None:
            if time.monotonic() > limit:
                self._process.kill()
            await asyncio.sleep(0.001)
        if self._streams is not None:
            self._streams[1].close()
        self._ours.close()
        if self.environment is not None:
            self.environment.close()
        if recycled_dir := self.take_recycled_dir():
            remove(recycled_dir)
        return self._process.returncode


ILLEGIBLE = Outcome(
    error_type="action_crashed",
    detail="The action's process sent an invalid response: check whether the action writes to file descriptors that it "
    "did not open.",
)


def failure(answer: bytes) -> Outcome:
    """The failure that a process reports, or `ILLEGIBLE`.

    Example:
        >>> failure(b'{"error_type": "action_failed", "detail": "ValueError"}').detail
        'ValueError'
        >>> failure(b'{"error_type": "action_failed"}') is ILLEGIBLE
        True
    """
    try:
        match json.loads(answer):
            case {"error_type": str(error_type), "detail": str(detail)} if error_type in FAILURES:
                return Outcome(error_type=error_type, detail=detail)
    except (ValueError, RecursionError):
        pass
    return ILLEGIBLE


def cause_of_death(code: int | None) -> str:
    """A message about a process that ended by itself.

    Example:
        >>> cause_of_death(3)
        "The action's process ended by itself, with exit code 3."
    """
    if code is not None and code < 0:
        return f"The action's process was ended by signal {-code} ({signal.strsignal(-code)})."
    return f"The action's process ended by itself, with exit code {code}."


class Kept(Protocol):
    """An entry of the pool: a process, or a handle of a remote one."""

    @property
    def is_waiting(self) -> bool:
        """Whether it can take a job."""
        ...

    async def close(self) -> object:
        """End it."""
        ...


K = TypeVar("K", bound=Kept)


class Pool(Generic[K]):
    """The idle processes, each for runs of one kind, in order of last use."""

    def __init__(self, max_idle: int, idle_limit: float) -> None:
        self._max_idle = max_idle
        self._idle_limit = idle_limit
        self._idle: list[tuple[Kind, K, asyncio.TimerHandle]] = []
        self._ending: set[asyncio.Task[object]] = set()

    def take(self, kind: Kind) -> K | None:
        """Take the most recently used process of a kind, or None."""
        for place in reversed(range(len(self._idle))):
            if self._idle[place][0] == kind:
                _, process, timer = self._idle.pop(place)
                timer.cancel()
                if process.is_waiting:
                    return process
                self.end(process)
        return None

    def give(self, kind: Kind, process: K) -> None:
        """Keep a process for its next run; if there are too many, the least recently used one ends."""
        if self._idle_limit <= 0:
            self.end(process)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_limit, self._expire, process)
        self._idle.append((kind, process, timer))
        while len(self._idle) > self._max_idle:
            self._expire(self._idle[0][1])

    def forget(self, digest: str) -> None:
        """End the processes of a deleted release."""
        for kind, process, _ in list(self._idle):
            if kind[0] == digest:
                self._expire(process)

    def make_room(self, kind: Kind) -> None:
        """End the least recently used process of another kind, if any."""
        for other, process, _ in self._idle:
            if other != kind:
                self._expire(process)
                return

    def end(self, process: K) -> None:
        """End a process, without waiting for it."""
        task = asyncio.get_running_loop().create_task(process.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all processes, and wait until they are gone."""
        for _, process, _ in list(self._idle):
            self._expire(process)
        await asyncio.gather(*self._ending)

    def _expire(self, process: K) -> None:
        for entry in self._idle:
            if entry[1] is process:
                self._idle.remove(entry)
                entry[2].cancel()
                self.end(process)
                return
