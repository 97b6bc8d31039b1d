"""Monitoring of runs: processes and memory from /proc, and the size of the log."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_local_agent.limits import Limits

PROC = Path("/proc")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Seen:
    """A process: its parent, and its memory in bytes, including shared memory."""

    parent: int
    memory: int


def processes() -> dict[int, Seen]:
    """Every process on the machine. Empty without /proc, so nothing is monitored there."""
    seen = {}
    for entry in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may end at any time
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            seen[int(entry.parent.name)] = Seen(parent=int(fields[1]), memory=int(fields[21]) * PAGE)
    return seen


def tree(seen: Mapping[int, Seen], root: int) -> list[int]:
    """A process and its descendants.

    Example:
        >>> tree({1: Seen(0, 0), 2: Seen(1, 0), 3: Seen(2, 0), 4: Seen(1, 0)}, 2)
        [2, 3]
    """
    children: dict[int, list[int]] = {}
    for process, entry in seen.items():
        children.setdefault(entry.parent, []).append(process)
    found = [root] if root in seen else []
    for process in found:
        found += children.get(process, [])
    return found


def limit_violation(seen: Mapping[int, Seen], root: int, log: Path, limits: Limits) -> str | None:
    """A message about the limit that a run exceeds, or None."""
    run = tree(seen, root)
    if len(run) > limits.max_processes:
        return f"The action had {len(run)} processes, more than the limit of {limits.max_processes}, and was ended."
    if limits.max_memory is not None and sum(seen[process].memory for process in run) > limits.max_memory:
        # Forks share memory, which must count only once. That check is slower, so it comes second.
        used = sum(proportional(process) for process in run)
        if used > limits.max_memory:
            return f"The action used {used} bytes of memory, more than the limit of {limits.max_memory}, and was ended."
    with contextlib.suppress(OSError):  # there is no log yet
        if log.stat().st_size > limits.max_log:
            return f"The action printed more than the limit of {limits.max_log} bytes, and was ended."
    return None


def proportional(process: int) -> int:
    """The proportional memory (PSS) of a process in bytes: shared memory is divided among its users."""
    with contextlib.suppress(OSError):  # it may end at any time
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
