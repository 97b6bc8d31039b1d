"""What runs actions, as the rest of the agent sees it: the jobs it is given, and the outcomes it comes to.

`local.LocalExecutor` runs them in processes of this machine. Whatever another one does instead, queue, records,
idempotency keys and the time limit are the runner's, above this interface, and the same for all.
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
    """Runs jobs, as many at a time as it is given. All methods are called on the agent's one event loop."""

    async def start(self) -> None:
        """Make ready. It is called once, before the first run; what it raises ends the agent that was to start."""

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Carry out a job, and return once nothing of it is left.

        What the action prints is in `run.log` then, and better while it runs. The run's folder is the executor's to
        make, and where nothing was printed none need be left. Whatever the action does is an Outcome, and so are the
        loss of the process or machine that ran it (`action_crashed`), and more JSON or output than the limits allow.

        Args:
            job: The job.
            run: The run, by whose name it is cancelled.
            on_start: Awaited once what runs the job is ready for it, and before anything of it may run: it records the
                start, after which the job must not be carried out again. The time limit counts from there.

        Raises:
            RequirementsError: If what the job requires cannot be had.
            UnavailableError: If nothing can take it. Like the former it is raised before `on_start` alone.
        """
        ...

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run with all that it started; `run` returns this outcome. The first one counts; others are ignored.

        So is the name of a run that is not there any more. It does not wait.
        """

    def forget(self, digest: str) -> None:
        """Let go of what was kept for a release that is gone."""

    async def stop(self) -> None:
        """Let go of everything. It is called once, when all runs have returned."""


class MakeExecutor(Protocol):
    """Makes the executor of an agent."""

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> Executor:
        """Make one.

        Args:
            data: The agent's data folder.
            variables: The environment variables that all jobs have.
            limits: What runs may take. How many run at a time, and how long, is the runner's to watch.
        """
        ...
