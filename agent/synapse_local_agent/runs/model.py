"""What a run is made of: the job that was asked for, the run and its folder, and the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement


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


@dataclass(frozen=True, slots=True)
class Run:
    """A run and its folder, whose name is made up: a job id is a caller's text and never becomes a path.

    Making a folder or a file takes longer than all the rest of a short run, so the folder is made when it is needed.
    """

    name: str
    folder: Path
    log: Path
    """What the action prints and logs."""
    work_dir: Path
    """The action's folder to work in where it runs on this machine; it goes with the run."""

    @classmethod
    def of(cls, name: str, parent: Path) -> Run:
        """The run of a name."""
        folder = parent / name
        return cls(name, folder, folder / "log", folder / "work")
