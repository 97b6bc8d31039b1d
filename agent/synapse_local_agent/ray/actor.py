"""The Ray actor, which runs a `LocalExecutor` on a node of the cluster.

Ray ships this package to the nodes, where it need not be installed. So this module and all that it imports use only the
standard library and `packaging`, which Ray itself requires.
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
"""How old a folder may be before its actor has locked it."""
GIVEN_UP = Outcome(error_type="action_crashed", detail="The run was abandoned.")


class Actor:
    """Runs the jobs of one release, one at a time. Ray calls its methods on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._sources = Path.cwd()  # Ray has unpacked the release here
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = Lock(self._folder)
        # Its process is kept as long as this actor; the gateway ends idle actors.
        limits = replace(limits, max_idle=1, idle_limit=max(limits.idle_limit, 86_400.0))
        self._executor = LocalExecutor(self._folder, dict(os.environ), limits)
        self._run: Run | None = None
        self._read = 0
        self._task: asyncio.Task[Outcome] | None = None
        self._may_go = asyncio.Event()

    async def start(self) -> None:
        """Prepare for runs."""
        await asyncio.to_thread(sweep, Path(tempfile.gettempdir()))
        await self._executor.start()

    async def ready(self) -> None:
        """Confirm that it is alive."""

    async def offer(self, job: Job, name: str) -> str | None:
        """Prepare a job, which does not run before `go`; return an error message if that fails."""
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
        """Run the offered job; return its outcome and the unread part of its log."""
        self._may_go.set()
        assert self._task is not None  # noqa: S101 - `offer` made it
        return await self._task, self._log(None)

    async def read_log(self, name: str) -> bytes:
        """Read the next part of the run's log, up to `CHUNK` bytes."""
        return self._log(CHUNK) if self._run is not None and self._run.name == name else b""

    async def cancel(self, name: str, outcome: Outcome) -> None:
        """End the run of that name with this outcome."""
        self._executor.cancel(name, outcome)
        if self._run is not None and self._run.name == name:
            self._may_go.set()

    async def close(self) -> None:
        """End all processes, including a run's, and remove all files."""
        await self._let_go()
        await self._executor.stop()
        remove(self._folder)
        self._lock.close()

    async def _let_go(self) -> None:
        """End the previous run and remove its folder."""
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
        # A run without output may have no log, and the action may have replaced it.
        with contextlib.suppress(OSError), self._run.log.open("rb") as log:
            log.seek(self._read)
            data = log.read(-1 if size is None else size)
        self._read += len(data)
        return data


def sweep(parent: Path) -> None:
    """Remove the folders of killed actors: those that are not locked and not new."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, DataInUseError):
            found = folder.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > NEW_SECONDS:
                with Lock(folder):
                    remove(folder)
