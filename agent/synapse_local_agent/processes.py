"""Processes that run actions, one action at a time, and the pool of those that wait for their next one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from synapse_local_agent.executor import Outcome
from synapse_local_agent.runs import remove

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_local_agent.environments import Environment

WORKER = Path(__file__).with_name("synapse_worker") / "__main__.py"
Kind = tuple[str | None, Hashable, Hashable]
"""What runs must have in common to share a process: the release's files, the Python, and the variables."""
LENGTH = struct.Struct(">Q")
ANSWER = struct.Struct(">??Q")
ENDING_SECONDS = 15
"""How long a process is given to end once it was told; its guard gives up after 10."""


class Process:
    """A process of `synapse_worker` with its guard, as the agent sees it."""

    def __init__(self, environment: Environment, variables: Mapping[str, str], log: Path) -> None:
        self._environment = environment
        self._ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as output:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [environment.python, "-P", "-B", "-X", "utf8", str(WORKER), str(theirs.fileno())],
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
        self._verdict: Outcome | None = None
        self._is_sound = False
        self.spare: Path | None = None
        """The folder that goes with it while it has no run."""

    @property
    def is_reusable(self) -> bool:
        """Whether it can be given another job after the one that it had."""
        return self._is_sound and self._verdict is None

    @property
    def id(self) -> int:
        """The number of the guard's process, which is above all others of the run."""
        return self._process.pid

    @property
    def is_waiting(self) -> bool:
        """Whether it can take a job now: it is there, and has said nothing unasked."""
        return self._streams is not None and self._process.poll() is None and not self._streams[0].at_eof()

    async def run(self, message: bytes, max_result: int) -> Outcome:
        """Have a job run, as JSON, and wait for its outcome, or for the process to end."""
        self._is_sound = False
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(sock=self._ours)
            outcome = await self._exchange(*self._streams, message, max_result)
        except (asyncio.IncompleteReadError, OSError):
            code = await self.close()
            outcome = Outcome(error_type="action_crashed", detail=cause_of_death(code), exit=code)
        return self._verdict or outcome

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes, max_result: int
    ) -> Outcome:
        writer.write(LENGTH.pack(len(message)) + message)
        await writer.drain()
        is_result, is_reusable, length = ANSWER.unpack(await reader.readexactly(ANSWER.size))
        if length > max_result:
            detail = f"The action's result has {length} bytes of JSON, more than the limit of {max_result}."
            return Outcome(error_type="action_result_too_large", detail=detail)
        answer = await reader.readexactly(length)
        self._is_sound = is_reusable
        return Outcome(answer) if is_result else Outcome(**json.loads(answer))

    def take_spare(self) -> Path | None:
        """Its folder, for a run."""
        spare, self.spare = self.spare, None
        return spare

    def end(self, outcome: Outcome) -> None:
        """Have it ended with all that came of it; a job that it has comes to this outcome. The first one counts."""
        if self._verdict is None:
            self._verdict = outcome
        with contextlib.suppress(OSError):  # it is closed already
            self._ours.shutdown(socket.SHUT_RDWR)

    async def close(self) -> int | None:
        """End it, and wait until nothing of it is left; give its exit code, or None where it would not end."""
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
        self._environment.close()
        if spare := self.take_spare():
            remove(spare)
        return self._process.returncode


def cause_of_death(code: int | None) -> str:
    """What to say of a process that ended by itself, by its exit code.

    Example:
        >>> cause_of_death(3)
        "The action's process ended by itself, with exit code 3."
    """
    if code is not None and code < 0:
        return f"The action's process was ended by signal {-code} ({signal.strsignal(-code)})."
    return f"The action's process ended by itself, with exit code {code}."


class Kept(Protocol):
    """What is kept for its next run: a process, or what stands for one elsewhere."""

    @property
    def is_waiting(self) -> bool:
        """Whether it can take a job."""
        ...

    async def close(self) -> object:
        """End it."""
        ...


K = TypeVar("K", bound=Kept)


class Pool(Generic[K]):
    """What waits for its next run, each for runs of one kind alone, the one used last at the end."""

    def __init__(self, max_idle: int, idle_limit: float) -> None:
        self._max_idle = max_idle
        self._idle_limit = idle_limit
        self._idle: list[tuple[Kind, K, asyncio.TimerHandle]] = []
        self._ending: set[asyncio.Task[object]] = set()

    def take(self, kind: Kind) -> K | None:
        """A process for a run of that kind, the one used last, or None."""
        for place in reversed(range(len(self._idle))):
            if self._idle[place][0] == kind:
                _, process, timer = self._idle.pop(place)
                timer.cancel()
                if process.is_waiting:
                    return process
                self.end(process)
        return None

    def give(self, kind: Kind, process: K) -> None:
        """Keep a process for its next run; where there are too many, the one used least lately ends."""
        if self._idle_limit <= 0:
            self.end(process)
            return
        timer = asyncio.get_running_loop().call_later(self._idle_limit, self._expire, process)
        self._idle.append((kind, process, timer))
        while len(self._idle) > self._max_idle:
            self._expire(self._idle[0][1])

    def forget(self, digest: str) -> None:
        """End the processes of a release that is gone."""
        for kind, process, _ in list(self._idle):
            if kind[0] == digest:
                self._expire(process)

    def make_room(self, kind: Kind) -> None:
        """End the process of another kind that was used least lately, if there is one."""
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
        """End all, and wait until nothing of them is left."""
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
