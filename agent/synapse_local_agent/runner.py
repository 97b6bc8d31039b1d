"""Running actions: in processes of their own, which cannot take the agent down with them, within the agent's limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sqlite3
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from synapse_local_agent import installer, watch
from synapse_local_agent.environments import Environment, Environments
from synapse_local_agent.idempotency import Keys
from synapse_local_agent.processes import Outcome, Pool, Process
from synapse_local_agent.runs import Runs, remove

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from packaging.requirements import Requirement

    from synapse_local_agent.limits import Limits

LOG = logging.getLogger(__name__)
WATCH_SECONDS = 0.1
LARGE = 2**20
STOPPED = "The agent was stopped during the run."
INSTALL: dict[str, Any] = {
    **dict.fromkeys(("plugin", "version", "config", "job_id", "language")),
    "action": "install",
    "entrypoint": "install:install",
    "path": [],
    "modules": {"install": Path(installer.__file__).read_text(encoding="utf-8")},
}
"""The installer as a job; it runs on its own in a process that has none of the agent's modules."""


class QueueFullError(Exception):
    """As many runs wait as may; nothing was carried out."""


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
class Setting:
    """Where a job runs."""

    requirements: Sequence[Requirement]
    variables: Mapping[str, str]
    """Environment variables, set over the agent's own."""
    digest: str | None = None
    """The release's files. Its processes are kept for its next run; without a release each run has a new one."""


class Runner:
    """Runs jobs. To be used on one event loop, and closed there; `stop` alone is for signal handlers too."""

    def __init__(self, data: Path, environment: Mapping[str, str], token: str, limits: Limits) -> None:
        self.keys = Keys(data)
        try:
            self._runs = Runs(data)
        except BaseException:
            self.keys.close()
            raise
        self._data = data
        self._limits = limits
        self._environments = Environments(data / "environments")
        self._variables = _passed_on(environment, token)
        self._pool = Pool(limits.max_idle, limits.idle_limit)
        self._slots = asyncio.Semaphore(limits.max_running)
        self._waiting = 0
        self._running: dict[Process, Path] = {}
        self._chores: list[asyncio.Task[None]] = []
        self._stopped = False

    def stop(self) -> None:
        """End all running actions, and any that is started later; each ends in `action_crashed`."""
        self._stopped = True
        for process in list(self._running):
            process.end("action_crashed", STOPPED)

    def forget(self, digest: str) -> None:
        """End the processes that are kept for a release which is gone."""
        self._pool.forget(digest)

    async def close(self) -> None:
        """End all processes, wait until nothing of them is left, and close the records."""
        self.stop()
        await self.keys.finish()
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self._pool.close()
        self._runs.close()
        self.keys.close()

    async def run(self, job: Job, setting: Setting, on_start: Callable[[], None]) -> Outcome:
        """Run a job as soon as there is a place for it.

        Args:
            job: The job.
            setting: Where it runs.
            on_start: Called just before the action may do something.

        Raises:
            QueueFullError: If too many wait already.
            RequirementsError: If what it requires cannot be had.
        """
        if not self._chores:
            self._chores = [asyncio.create_task(chore()) for chore in (self._watch, self._sweep)]
        async with self._place():
            if self._stopped:
                return Outcome(error_type="action_crashed", detail=STOPPED)
            environment = await self._environments.get(setting.requirements, self._install)
            return await self._run(job, setting, environment, on_start)

    async def _run(self, job: Job, setting: Setting, environment: Environment, on_start: Callable[[], None]) -> Outcome:
        kind = (setting.digest, environment.python, tuple(sorted(setting.variables.items())))
        process = None
        outcome = Outcome(error_type="action_crashed", detail=STOPPED)
        run = self._runs.begin(job)
        try:
            process = self._pool.take(kind) if setting.digest else None
            if process is None:
                process = Process(environment, self._environment(environment, setting.variables), run.log)
            else:
                environment.close()  # the process holds it already
            on_start()
            given = {field.name: getattr(job, field.name) for field in fields(job)}
            given |= {"work_dir": str(run.work_dir), "log": str(run.log)}
            outcome = await self._carry_out(process, given, run.log)
        except OSError as error:  # of a Python that is gone, or a machine without room for a process
            outcome = Outcome(error_type="action_crashed", detail=f"The action's process cannot be started: {error}.")
        finally:
            if process is None:
                environment.close()
            elif process.is_reusable and setting.digest and not self._stopped:
                self._pool.give(kind, process)
            else:
                await process.close()
            await _remove(run.work_dir)
            # A large result takes its time to be written.
            if len(outcome.result) > LARGE:
                await run_in_threadpool(self._runs.finish, run, outcome)
            else:
                self._runs.finish(run, outcome)
        return outcome

    async def _carry_out(self, process: Process, given: Mapping[str, Any], log: Path) -> Outcome:
        """Have a process run something, watched, for as long as it may take."""
        limit = self._limits.run_timeout
        detail = f"The action took longer than {limit:g} s, and was ended with all of its processes."
        timer = asyncio.get_running_loop().call_later(limit, process.end, "action_timeout", detail)
        self._running[process] = log
        if self._stopped:
            process.end("action_crashed", STOPPED)
        try:
            return await process.run(given, self._limits.max_result)
        finally:
            timer.cancel()
            del self._running[process]

    async def _install(self, arguments: dict[str, Any]) -> str | None:
        """Run the installer as an action is run, so that nothing of it outlives the agent either."""
        folder = Path(arguments["folder"]).parent
        process = Process(Environment(), self._variables, folder / "log")
        given = {**INSTALL, "params": arguments, "work_dir": str(folder), "log": str(folder / "log")}
        try:
            outcome = await self._carry_out(process, given, folder / "log")
        finally:
            await process.close()
        if outcome.error_type is not None:
            return outcome.detail
        failure: str | None = json.loads(outcome.result)
        return failure

    @contextlib.asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the places for runs, waited for in the order of asking."""
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

    def _environment(self, environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment variables of a process."""
        found = dict(self._variables)
        if environment.folder is not None:
            found["VIRTUAL_ENV"] = str(environment.folder)
            found["PATH"] = os.pathsep.join([str(environment.folder / "bin"), found.get("PATH", os.defpath)])
        return {**found, **variables}

    async def _watch(self) -> None:
        """End every run that takes more than it may."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if not self._running:
                continue
            seen = await run_in_threadpool(watch.processes)
            for process, log in list(self._running.items()):
                if reason := watch.excess(seen, process.id, log, self._limits):
                    process.end("action_crashed", reason)

    async def _sweep(self) -> None:
        """Remove what is not kept any longer."""
        while True:
            now = time.time()
            try:
                self.keys.sweep(now - self._limits.keep_answers)
                names = self._runs.expired(self._limits, now)
                await run_in_threadpool(self._runs.discard, names)
                self._runs.forget(names)
                await run_in_threadpool(self._environments.sweep, self._limits, now)
            except (OSError, sqlite3.Error) as error:  # such as a full disk: the next time it may work
                LOG.warning("What is not kept any longer cannot be removed: %s", error)
            await asyncio.sleep(self._limits.sweep_interval)


def _passed_on(environment: Mapping[str, str], token: str) -> dict[str, str]:
    """What actions see of the agent's environment: no settings of the agent, and nothing that holds its token."""
    return {
        name: value for name, value in environment.items() if not name.startswith("SYNAPSE_") and token not in value
    }


async def _remove(folder: Path) -> None:
    try:
        folder.rmdir()  # noqa: ASYNC240 - most actions leave nothing in it
    except OSError:
        await run_in_threadpool(remove, folder)
