"""What runs on a node of a cluster: the executor of one machine, in an actor of Ray's.

Ray brings this package to the nodes, which need nothing of it installed: what is imported here is of the standard
library, of `packaging`, which Ray itself needs, or stands in modules that keep to the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_local_agent.files import remove
from synapse_local_agent.processes.executor import LocalExecutor
from synapse_local_agent.releases.data_lock import DataInUseError, Lock
from synapse_local_agent.runs.model import Job, Outcome, Run

if TYPE_CHECKING:
    from synapse_local_agent.limits import Limits

CHUNK = 2**20
PREFIX = "synapse-actor-"
NEW_SECONDS = 60.0
"""For how long a folder may be there whose actor has not locked it yet."""
GIVEN_UP = Outcome(error_type="action_crashed", detail="The run was given up.")


class Actor:
    """Runs the jobs of one release, one at a time. Ray calls its methods on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._sources = Path.cwd()  # where Ray has unpacked the release
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = Lock(self._folder)
        # Its process is kept as long as this actor, whose time is the gateway's matter.
        limits = replace(limits, max_idle=1, idle_limit=max(limits.idle_limit, 86_400.0))
        self._executor = LocalExecutor(self._folder, dict(os.environ), limits)
        self._run: Run | None = None
        self._read = 0
        self._task: asyncio.Task[Outcome] | None = None
        self._may_go = asyncio.Event()

    async def start(self) -> None:
        """Make ready for runs."""
        await asyncio.to_thread(sweep, Path(tempfile.gettempdir()))
        await self._executor.start()

    async def ready(self) -> None:
        """Say that it is there."""

    async def offer(self, job: Job, name: str) -> str | None:
        """Make ready for a job of that name, of which nothing runs before `go`; say why that cannot be, if so."""
        await self._let_go()
        self._run = Run.of(name, self._folder)
        self._read = 0
        self._may_go = asyncio.Event()
        is_ready = asyncio.Event()

        async def wait_for_go() -> None:
            is_ready.set()
            await self._may_go.wait()

        job = replace(job, sources=self._sources if job.sources is not None else None)
        self._task = asyncio.create_task(self._executor.run(job, self._run, wait_for_go))
        waiting = asyncio.create_task(is_ready.wait())
        await asyncio.wait([self._task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        failure = self._task.exception() if self._task.done() else None
        return None if failure is None else str(failure)

    async def go(self) -> tuple[Outcome, bytes]:
        """Run the job that was offered; give its outcome, and what of its log was not read before."""
        self._may_go.set()
        assert self._task is not None  # noqa: S101 - `offer` made it
        return await self._task, self._log(None)

    async def read_log(self, name: str) -> bytes:
        """What the run has printed since this was last asked, or a part of it."""
        return self._log(CHUNK) if self._run is not None and self._run.name == name else b""

    async def cancel(self, name: str, outcome: Outcome) -> None:
        """End the run of that name, which comes to this outcome."""
        self._executor.cancel(name, outcome)
        if self._run is not None and self._run.name == name:
            self._may_go.set()

    async def close(self) -> None:
        """End all processes, those of a run too, and remove what was stored."""
        await self._let_go()
        await self._executor.stop()
        remove(self._folder)
        self._lock.close()

    async def _let_go(self) -> None:
        """End the run that there was, and leave nothing of it."""
        if self._run is None:
            return
        if self._task is not None:
            self._executor.cancel(self._run.name, GIVEN_UP)
            self._may_go.set()
            await asyncio.wait([self._task])
        remove(self._run.folder)
        self._run = self._task = None

    def _log(self, size: int | None) -> bytes:
        data = b""
        if self._run is None:
            return data
        # A run that has printed nothing may have no log, and what is there is the action's to ruin.
        with contextlib.suppress(OSError), self._run.log.open("rb") as log:
            log.seek(self._read)
            data = log.read(-1 if size is None else size)
        self._read += len(data)
        return data


def sweep(parent: Path) -> None:
    """Remove the folders of actors that were killed: those that nobody holds, and that are not quite new."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, DataInUseError):
            found = folder.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > NEW_SECONDS:
                with Lock(folder):
                    remove(folder)
