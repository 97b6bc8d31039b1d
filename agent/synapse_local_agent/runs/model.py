"""The parts of a run: the job, the run with its folder, and the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An action to run, with its inputs and requirements."""

    action: str
    entrypoint: str
    params: bytes
    """JSON in ASCII."""
    sources: Path | None = None
    """The plugin's folder on this machine, added to the front of the import path."""
    digest: str | None = None
    """The hash of the folder's content if it belongs to a release, whose content never changes. The process may then be
    reused for the next job with the same digest, requirements and variables; without a digest it is not reused."""
    modules: dict[str, str]
    """Sources by module name, which take precedence over those in the folder."""
    requirements: Sequence[Requirement]
    variables: Mapping[str, str]
    """Environment variables, in addition to those of all jobs."""
    plugin: str | None
    version: str | None
    config: dict[str, Any]
    """The plugin's config.yaml, with further settings for executors, such as resources."""
    job_id: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a job: its result, or its failure with a readable detail."""

    result: bytes = b""
    """JSON as the action's process wrote it. The agent does not parse it, so no result can harm the agent."""
    error_type: str | None = None
    """One of the contract's error types, such as `action_failed`; None on success."""
    detail: str = ""
    exit: int | None = None
    """The exit code of the process if it ended, or its signal as a negative number."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run and its folder. Its name is random: a job id comes from the caller and never becomes a path.

    The folder is created only when needed, since that takes longer than all the rest of a short run.
    """

    name: str
    folder: Path
    log: Path
    """The output of the action."""
    work_dir: Path
    """The working folder of the action if it runs on this machine; removed after the run."""

    @classmethod
    def of(cls, name: str, parent: Path) -> Run:
        """Create a run from its name."""
        folder = parent / name
        return cls(name, folder, folder / "log", folder / "work")
