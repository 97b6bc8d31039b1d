"""The runner: queue, time limit and records of runs, for any executor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from synapse_local_agent.errors import RequirementsError, UnavailableError
from synapse_local_agent.runs import retention
from synapse_local_agent.runs.idempotency import IdempotencyStore
from synapse_local_agent.runs.model import Outcome
from synapse_local_agent.runs.records import LARGE, RunRecords, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.runs.executor import Executor
    from synapse_local_agent.runs.model import Job, Run

LOG = logging.getLogger(__name__)
STOPPED = Outcome(error_type="action_crashed", detail="The agent was stopped during the run.")


class QueueFullError(Exception):
    """The queue is full; nothing has run."""


class Runner:
    """Runs jobs on an executor, with limits and records. Use and close it on one event loop."""

    def __init__(self, data: Path, limits: Limits, executor: Executor) -> None:
        # One shared connection: with two, each would have to reread pages that the other wrote.
        self._connection = connect(data)
        try:
            self.keys = IdempotencyStore(self._connection)
            self._runs = RunRecords(data, self._connection)
        except BaseException:
            self._connection.close()
            raise
        self._data = data
        self._limits = limits
        self._executor = executor
        self._slots = asyncio.Semaphore(limits.max_running)
        self._waiting = 0
        self._running: set[str] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Prepare for runs."""
        await self._executor.start()
        self._sweeper = asyncio.create_task(self._sweep())

    def end_runs(self) -> None:
        """End all running actions, and any that start later, with `action_crashed`."""
        self._stopped = True
        for name in self._running:
            self._executor.cancel(name, STOPPED)

    def forget(self, digest: str) -> None:
        """End what the executor keeps for a deleted release."""
        self._executor.forget(digest)

    async def close(self) -> None:
        """End all running actions, wait until their processes have ended, and close the records."""
        self.end_runs()
        await self.keys.finish()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._executor.stop()
        self._connection.close()

    async def run(self, job: Job, on_start: Callable[[], None]) -> Outcome:
        """Run a job as soon as there is a free slot.

        Args:
            job: The job.
            on_start: Called just before the action starts.

        Raises:
            QueueFullError: If the queue is full.
            RequirementsError: If its requirements cannot be met.
            UnavailableError: If nothing can run it.
        """
        async with self._place():
            if self._stopped:
                return STOPPED
            run = self._runs.begin(job)
            if len(job.params) > LARGE:
                await run_in_threadpool(self._runs.keep, run, "params.json", job.params)
            outcome: Outcome | None = STOPPED
            self._running.add(run.name)
            try:
                outcome = await self._carry_out(job, run, on_start)
            except (RequirementsError, UnavailableError):
                outcome = None
                raise
            finally:
                self._running.remove(run.name)
                await self._record(run, job, outcome)
            return outcome

    async def _record(self, run: Run, job: Job, outcome: Outcome | None) -> None:
        """Record the outcome of a run; without one the run did not start, and its record is removed."""
        if outcome is None:
            self._runs.discard(run)
            return
        if len(outcome.result) > LARGE:
            await run_in_threadpool(self._runs.keep, run, "result.json", outcome.result)
        self._runs.finish(run, job, outcome)

    async def _carry_out(self, job: Job, run: Run, on_start: Callable[[], None]) -> Outcome:
        """Run a job on the executor, within the time limit."""
        limit = self._limits.run_timeout
        detail = f"The action took longer than {limit:g} s and was ended with all of its processes."
        timers = []

        async def begin() -> None:
            on_start()
            late = Outcome(error_type="action_timeout", detail=detail)
            timers.append(asyncio.get_running_loop().call_later(limit, self._executor.cancel, run.name, late))

        try:
            return await self._executor.run(job, run, begin)
        finally:
            for timer in timers:
                timer.cancel()

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a free slot, in order of arrival."""
        if self._slots.locked() and self._waiting >= self._limits.max_queue:
            raise QueueFullError
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _sweep(self) -> None:
        """Remove expired records periodically."""
        while True:
            try:
                running = self.keys.running()
                await run_in_threadpool(
                    retention.sweep, self._data, self._limits, time.time(), running, lambda: self._stopped
                )
            except (OSError, sqlite3.Error) as error:  # such as a full disk: the next attempt may work
                LOG.warning("Cannot remove expired records: %s", error)
            await asyncio.sleep(self._limits.sweep_interval)
