"""What runs may take, all together and each of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

DAY = 86_400.0
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of an agent. Seconds and bytes where nothing else is said."""

    max_running: int = field(default_factory=lambda: os.cpu_count() or 1)
    """How many actions run at the same time; further ones wait."""
    max_queue: int = 1000
    """How many wait; further ones are answered with 429."""
    run_timeout: float = DAY
    """How long an action may run."""
    max_memory: int | None = None
    """How much memory a run may use with all of its processes; as much as there is where None."""
    max_processes: int = 1000
    """How many processes a run may have."""
    max_result: int = 256 * MIB
    """How much JSON an action may return."""
    max_log: int = 256 * MIB
    """How much an action may print."""
    idle_limit: float = 300.0
    """How long a process without a run is kept; 0 keeps none."""
    max_idle: int = 8
    """How many processes without a run are kept."""
    keep_runs: float = 7 * DAY
    """How long the logs of runs are kept."""
    keep_runs_size: int = 1024 * MIB
    """How much the logs of runs may take together; the oldest go first."""
    keep_environments: float = 30 * DAY
    """How long an environment is kept that no run uses."""
    keep_environments_size: int = 10 * 1024 * MIB
    """How much environments may take together; those not used for longest go first."""
    keep_answers: float = DAY
    """How long the answer to an idempotency key is kept."""
    sweep_interval: float = 60.0
    """How often what is kept is looked through."""
