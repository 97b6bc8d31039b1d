"""The executor interface: it takes jobs and returns outcomes.

`processes.executor.LocalExecutor` runs jobs in processes on this machine. The runner provides the queue, records,
idempotency keys and the time limit for every executor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.runs.model import Job, Outcome, Run

    OnStart = Callable[[], Awaitable[None]]


class Executor(Protocol):
    """Runs any number of jobs at a time. All methods are called on the agent's event loop."""

    async def start(self) -> None:
        """Prepare for runs. Called once, before the first run; if it raises, the agent does not start."""

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Carry out a job, and return once all its processes have ended.

        By then, and ideally while it runs, its output is in `run.log`. The executor creates the run's folder; it may
        be missing if there was no output. Any behaviour of the action is an Outcome, and so are the loss of the process
        or machine that ran it (`action_crashed`), and exceeding the limits of results and output.

        Args:
            job: The job.
            run: The run; `cancel` takes its name.
            on_start: Awaited when the job can start, and before any of it runs. It records the start, after which the
                job must not be repeated, and starts the time limit.

        Raises:
            RequirementsError: If the job's requirements cannot be met.
            UnavailableError: If nothing can run it. Both are only raised before `on_start`.
        """
        ...

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run with all its processes, without waiting; its `run` returns this outcome.

        Further outcomes and unknown names are ignored.
        """

    def forget(self, digest: str) -> None:
        """End what was kept for a deleted release."""

    async def stop(self) -> None:
        """Free all resources. Called once, after all runs have returned."""


class MakeExecutor(Protocol):
    """Makes the executor of an agent."""

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> Executor:
        """Make an executor.

        Args:
            data: The agent's data folder.
            variables: The environment variables of all jobs.
            limits: The limits of runs. The runner enforces `max_running`, `max_queue` and `run_timeout`.
        """
        ...
