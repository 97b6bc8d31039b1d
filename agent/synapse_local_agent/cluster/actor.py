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

from synapse_local_agent.executor import Job, Outcome
from synapse_local_agent.local import LocalExecutor
from synapse_local_agent.lock import DataInUseError, Lock
from synapse_local_agent.runs import Run, remove

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
        self._ended: tuple[str, Outcome] | None = None
        """The run that was cancelled last. Ray may be told to cancel one before it has begun that."""
        self._working = asyncio.Lock()

    async def start(self) -> None:
        """Make ready for runs."""
        await asyncio.to_thread(sweep, Path(tempfile.gettempdir()))
        await self._executor.start()

    async def ready(self) -> None:
        """Say that it is there."""

    async def run(self, job: Job, name: str) -> tuple[Outcome, bytes]:
        """Run a job of that name; give its outcome, and what of its log was not read before."""
        async with self._working:
            if self._run is not None:
                remove(self._run.folder)
            self._run = Run.of(name, self._folder)
            self._read = 0
            if self._ended is not None and self._ended[0] == name:
                return self._ended[1], b""
            job = replace(job, sources=self._sources if job.sources is not None else None)
            outcome = await self._executor.run(job, self._run, lambda: None)
            return outcome, self._log(None)

    async def read_log(self, name: str) -> bytes:
        """What the run has printed since this was last asked, or a part of it."""
        return self._log(CHUNK) if self._run is not None and self._run.name == name else b""

    async def cancel(self, name: str, outcome: Outcome) -> None:
        """End the run of that name, which comes to this outcome."""
        self._ended = name, outcome
        self._executor.cancel(name, outcome)

    async def close(self) -> None:
        """End all processes, those of a run too, and remove what was stored."""
        if self._run is not None:
            self._executor.cancel(self._run.name, GIVEN_UP)
        async with self._working:
            await self._executor.stop()
            remove(self._folder)
            self._lock.close()

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
