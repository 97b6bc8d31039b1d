"""What runs actions, as the rest of the agent sees it: the jobs it is given, and the outcomes it comes to.

`local.LocalExecutor` runs them in processes of this machine. Whatever another one does instead, queue, records,
idempotency keys and the time limit are the runner's, above this interface, and the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.runs import Run

    OnStart = Callable[[], Awaitable[None]]


class RequirementsError(Exception):
    """What a job requires cannot be had; the message says why."""


class UnavailableError(Exception):
    """There is nothing that could take the job now; nothing was carried out.

    Args:
        detail: What there is not, and what there is.
        error_type: The kind, for the caller's program, such as `gpu_unavailable`.
    """

    def __init__(self, detail: str, error_type: str | None = None) -> None:
        super().__init__(detail)
        self.error_type = error_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An action to run, all that it is given, and what it needs."""

    action: str
    entrypoint: str
    params: bytes
    """JSON in ASCII."""
    sources: Path | None = None
    """The plugin's folder on this machine, which is put in front of the import path."""
    digest: str | None = None
    """The hash of the folder's content, where it is a release's: it never changes, and what ran the action may be kept
    for the next job of the same digest, requirements and variables. Without one nothing is kept."""
    modules: dict[str, str]
    """Sources by module name, which are laid over those in the folder."""
    requirements: Sequence[Requirement]
    variables: Mapping[str, str]
    """Environment variables, set over those that all jobs have."""
    plugin: str | None
    version: str | None
    config: dict[str, Any]
    """The plugin's config.yaml; what an executor may need beside the above, such as resources, is in it."""
    job_id: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: its result, or the kind of its failure with a detail for a person."""

    result: bytes = b""
    """JSON as the action's process wrote it. It is passed on unread, so that no result can trouble the agent."""
    error_type: str | None = None
    """One of the contract's, such as `action_failed`; None of a success."""
    detail: str = ""
    exit: int | None = None
    """How the process ended, where it did: its exit code, or its signal as a negative number."""


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
