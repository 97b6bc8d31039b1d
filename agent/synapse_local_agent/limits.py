"""The limits of runs, for each and in total."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

DAY = 86_400.0
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of an agent. Times are in seconds, sizes in bytes."""

    max_running: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Maximum number of actions that run at the same time; more wait in the queue."""
    max_queue: int = 1000
    """Maximum number of runs in the queue; more get a 429."""
    run_timeout: float = DAY
    """Maximum time that an action may run."""
    max_memory: int | None = None
    """Maximum memory of a run with all its processes; None means no limit."""
    max_processes: int = 1000
    """Maximum number of processes of a run."""
    max_result: int = 256 * MIB
    """Maximum size of a result as JSON."""
    max_log: int = 256 * MIB
    """Maximum output of an action."""
    idle_limit: float = 300.0
    """How long an idle process is kept; 0 keeps none."""
    max_idle: int = 8
    """Maximum number of idle processes."""
    keep_runs: float = 7 * DAY
    """How long records and logs of runs are kept."""
    keep_runs_size: int = 1024 * MIB
    """Maximum total size of records and logs; the oldest are removed first."""
    keep_environments: float = 30 * DAY
    """How long an unused environment is kept."""
    keep_environments_size: int = 10 * 1024 * MIB
    """Maximum total size of environments; the least recently used are removed first."""
    keep_answers: float = DAY
    """How long the response to an idempotency key is kept."""
    sweep_interval: float = 60.0
    """How often expired records, keys and environments are removed."""
