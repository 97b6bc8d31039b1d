"""The executor that runs jobs in processes on this machine, isolated from the agent."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_local_agent.errors import RequirementsError, UnavailableError
from synapse_local_agent.files import remove
from synapse_local_agent.processes import installer, monitor, run_folders
from synapse_local_agent.processes.environments import Environment, Environments
from synapse_local_agent.processes.workers import NotReadyError, Pool, Process
from synapse_local_agent.runs.model import Job, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.processes.workers import Kind
    from synapse_local_agent.runs.executor import OnStart
    from synapse_local_agent.runs.model import Run

LOG = logging.getLogger(__name__)
WATCH_SECONDS = 0.1
TRIES = 3
"""Maximum number of processes that a job is offered to."""
INSTALLER = {"install": Path(installer.__file__).read_text(encoding="utf-8")}
"""Source of the installer, which runs as a job, without the agent's modules."""


@dataclass(slots=True)
class Running:
    """A running job: its current process, and its outcome if it was cancelled."""

    process: Process | None = None
    forced_outcome: Outcome | None = None


class LocalExecutor:
    """Runs jobs in processes on this machine. Processes of a release are reused."""

    def __init__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> None:
        self._limits = limits
        self._variables = variables
        self._environments = Environments(data / "environments")
        self._pool: Pool[Process] = Pool(limits.max_idle, limits.idle_limit)
        self._recycled_dirs = data / "spare"
        """The run folders of idle processes."""
        self._running: dict[str, Running] = {}
        self._watched: dict[Path, Process] = {}
        """The busy processes, by their logs."""
        self._chores: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Remove the leftovers of an earlier agent, and start to monitor runs."""
        await asyncio.to_thread(remove, self._recycled_dirs)
        self._recycled_dirs.mkdir(mode=run_folders.MODE, parents=True)
        self._chores = [asyncio.create_task(chore()) for chore in (self._watch, self._sweep)]

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Run a job in an idle process or a new one."""
        running = self._running[run.name] = Running()
        try:
            environment = await self._environments.get(job.requirements, lambda given: self._install(given, running))
            return running.forced_outcome or await self._run(job, run, environment, running, on_start)
        except (RequirementsError, UnavailableError):
            if running.forced_outcome is None:
                raise
            return running.forced_outcome
        finally:
            del self._running[run.name]

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run with all of its processes."""
        running = self._running.get(name)
        if running is not None and running.forced_outcome is None:
            running.forced_outcome = outcome
            if running.process is not None:
                running.process.end(outcome)

    def forget(self, digest: str) -> None:
        """End the idle processes of a deleted release."""
        self._pool.forget(digest)

    async def stop(self) -> None:
        """End all processes, and wait until they are gone."""
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self._pool.close()

    async def _run(self, job: Job, run: Run, environment: Environment, running: Running, on_start: OnStart) -> Outcome:
        kind = (job.digest, environment.python, tuple(sorted(job.variables.items())))
        variables = self._environment(environment, job.variables)
        process = self._pool.take(kind) if job.digest else None
        message = _message(job, run.work_dir, run.log)
        try:
            try:
                run_folders.prepare(run, None if process is None else process.take_recycled_dir())
                process = await self._ready(
                    process, lambda: Process(environment.python, variables, run.log), message, running
                )
            except OSError as error:  # a missing Python, or no resources for a process
                msg = f"The action's process cannot be started: {error}."
                raise UnavailableError(msg) from None
            if process.environment is None:
                process.environment = environment
            if running.forced_outcome is not None:
                return running.forced_outcome
            await on_start()
            return await self._carry_out(process, run.log, running)
        finally:
            if process is None or process.environment is not environment:
                environment.close()
            await self._let_go(process, kind, run)

    async def _ready(
        self, process: Process | None, start: Callable[[], Process], message: bytes, running: Running
    ) -> Process:
        """Get a process that is ready for a job: the given idle one, or a new one.

        An idle process may have died, which only shows when it is offered a job. None of the job has run by then, so it
        is offered to the next one.

        Raises:
            UnavailableError: If new processes die too, or the run is cancelled.
        """
        code = None
        for _ in range(TRIES):
            running.process = process = process or start()
            try:
                if running.forced_outcome is not None:
                    process.end(running.forced_outcome)
                await process.offer(message)
            except NotReadyError:
                code = await process.close()
                process = None
                if running.forced_outcome is not None:
                    break
            except BaseException:
                await process.close()
                raise
            else:
                return process
            finally:
                running.process = None
        msg = f"The action's process ended {TRIES} times before the action began, last with exit code {code}."
        raise UnavailableError(msg)

    async def _let_go(self, process: Process | None, kind: Kind, run: Run) -> None:
        """Keep a process for its next run or end it, and tidy up the run's folder."""
        if process is not None and process.is_reusable and kind[0] is not None:
            process.recycled_dir = run_folders.recycle(run, self._recycled_dirs)
            self._pool.give(kind, process)
            if process.recycled_dir is not None:
                return
        elif process is not None:
            await process.close()
        await asyncio.to_thread(run_folders.tidy, run)

    async def _carry_out(self, process: Process, log: Path, running: Running) -> Outcome:
        """Run the job on a process that is ready for it, and monitor it."""
        running.process = process
        self._watched[log] = process
        if running.forced_outcome is not None:
            process.end(running.forced_outcome)
        try:
            return await process.go(self._limits.max_result)
        finally:
            running.process = None
            del self._watched[log]

    async def _install(self, arguments: dict[str, Any], running: Running) -> str | None:
        """Run the installer like an action, so that it cannot outlive the agent either."""
        folder = Path(arguments["folder"]).parent
        log = folder / "log"
        job = Job(
            action="install",
            entrypoint="install:install",
            params=json.dumps(arguments).encode(),
            modules=INSTALLER,
            requirements=(),
            variables={},
            **dict.fromkeys(("plugin", "version", "job_id", "language")),
            config={},
        )
        message = _message(job, folder, log)
        process = await self._ready(None, lambda: Process(sys.executable, self._variables, log), message, running)
        limit = self._limits.run_timeout
        late = Outcome(
            error_type="action_timeout", detail=f"the installation took longer than {limit:g} s and was ended."
        )
        timer = asyncio.get_running_loop().call_later(limit, process.end, late)
        try:
            outcome = await self._carry_out(process, log, running)
        finally:
            timer.cancel()
            await process.close()
        if outcome.error_type is not None:
            return outcome.detail
        failure: str | None = json.loads(outcome.result)
        return failure

    def _environment(self, environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment variables of a process."""
        found = dict(self._variables)
        if environment.folder is not None:
            found["VIRTUAL_ENV"] = str(environment.folder)
            found["PATH"] = os.pathsep.join([str(environment.folder / "bin"), found.get("PATH", os.defpath)])
        return {**found, **variables}

    async def _watch(self) -> None:
        """End every run that exceeds a limit.

        A check costs as much as a short run, so runs that were not there at the previous check are skipped.
        """
        before: set[Path] = set()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            lasting = {log: process for log, process in self._watched.items() if log in before}
            before = set(self._watched)
            if not lasting:
                continue
            seen = await asyncio.to_thread(monitor.processes)
            for log, process in lasting.items():
                if self._watched.get(log) is process and (
                    reason := monitor.limit_violation(seen, process.id, log, self._limits)
                ):
                    process.end(Outcome(error_type="action_crashed", detail=reason))

    async def _sweep(self) -> None:
        """Remove expired environments periodically."""
        while True:
            try:
                await asyncio.to_thread(self._environments.sweep, self._limits, time.time())
            except OSError as error:  # such as a full disk: the next attempt may work
                LOG.warning("Cannot remove expired environments: %s", error)
            await asyncio.sleep(self._limits.sweep_interval)


def _message(job: Job, work_dir: Path, log: Path) -> bytes:
    """Encode a job for its process."""
    head = {
        "action": job.action,
        "entrypoint": job.entrypoint,
        "path": [] if job.sources is None else [str(job.sources)],
        "modules": job.modules,
        "plugin": job.plugin,
        "version": job.version,
        "config": job.config,
        "job_id": job.job_id,
        "language": job.language,
        "work_dir": str(work_dir),
        "log": str(log),
    }
    return b'%b, "params": %b}' % (json.dumps(head).encode()[:-1], job.params)
