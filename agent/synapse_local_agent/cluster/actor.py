"""What runs on a node of a cluster: the executor of one machine, in an actor of Ray's.

Ray brings this package to the nodes, which need nothing of it installed: what is imported here is of the standard
library, of `packaging`, which Ray itself needs, or stands in modules that keep to the same.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_local_agent.local import LocalExecutor
from synapse_local_agent.runs import Run, remove

if TYPE_CHECKING:
    from synapse_local_agent.executor import Job, Outcome
    from synapse_local_agent.limits import Limits

CHUNK = 2**20


class Actor:
    """Runs the jobs of one release, one at a time. Ray calls its methods on one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._sources = Path.cwd()  # where Ray has unpacked the release
        self._folder = Path(tempfile.mkdtemp(prefix="synapse-agent-"))
        # Its process is kept as long as this actor, whose time is the gateway's matter.
        limits = replace(limits, max_idle=1, idle_limit=max(limits.idle_limit, 86_400.0))
        self._executor = LocalExecutor(self._folder, dict(os.environ), limits)
        self._run: Run | None = None
        self._read = 0

    async def ready(self) -> None:
        """Say that it is there."""

    async def run(self, job: Job, name: str) -> tuple[Outcome, bytes]:
        """Run a job of that name; give its outcome, and what of its log was not read before."""
        if self._run is None:
            await self._executor.start()
        else:
            remove(self._run.folder)
        run = self._run = Run.of(name, self._folder)
        self._read = 0
        job = replace(job, sources=self._sources if job.sources is not None else None, requirements=())
        outcome = await self._executor.run(job, run, lambda: None)
        return outcome, self._log(None)

    async def read_log(self) -> bytes:
        """What the run has printed since this was last asked, or a part of it."""
        return self._log(CHUNK)

    async def cancel(self, outcome: Outcome) -> None:
        """End the run, which comes to this outcome."""
        if self._run is not None:
            self._executor.cancel(self._run.name, outcome)

    async def close(self) -> None:
        """End all processes, and remove what was stored."""
        await self._executor.stop()
        remove(self._folder)

    def _log(self, size: int | None) -> bytes:
        if self._run is None:
            return b""
        data = b""
        # A run that has printed nothing may have no log.
        with contextlib.suppress(FileNotFoundError), self._run.log.open("rb") as log:
            log.seek(self._read)
            data = log.read(-1 if size is None else size)
        self._read += len(data)
        return data
