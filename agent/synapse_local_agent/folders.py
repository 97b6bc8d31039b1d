"""The folders that runs have on this machine. Making one takes longer than all the rest of a short run.

A process that is kept keeps its folder too, if the action left nothing in it: an empty log and an empty `work`. It is
lent to no other process, whose log would get what this one prints at its end.
"""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from synapse_local_agent.runs import remove

if TYPE_CHECKING:
    from pathlib import Path

    from synapse_local_agent.runs import Run

MODE = 0o700


def prepare(run: Run, spare: Path | None) -> None:
    """Give a run its folder: the one that its process has spared, or a new one."""
    if spare is not None:
        try:
            spare.rename(run.folder)
        except OSError:  # somebody was here, or large params are in the run's folder already
            remove(spare)
        else:
            return
    run.folder.mkdir(mode=MODE, exist_ok=True)
    run.work_dir.mkdir(mode=MODE)


def spare(run: Run, parent: Path) -> Path | None:
    """Take the folder of a run away, if the action left nothing in it; give where it is."""
    try:
        if not is_empty(run) or stat.S_IMODE(run.work_dir.lstat().st_mode) != MODE:
            return None
        return run.folder.rename(parent / secrets.token_hex(8))
    except OSError:  # the action may have removed anything
        return None


def is_empty(run: Run) -> bool:
    """Whether nothing is in a run's folder but an empty log and an empty `work`."""
    return (
        set(os.listdir(run.folder)) == {run.log.name, run.work_dir.name}  # noqa: PTH208 - half the time of iterdir
        and not os.listdir(run.work_dir)  # noqa: PTH208 - as above
        and run.log.lstat().st_size == 0
    )


def tidy(run: Run) -> None:
    """Remove `work`, and an empty log with its folder. It may take long, and is for any thread."""
    remove(run.work_dir)
    try:
        if run.log.lstat().st_size == 0:
            run.log.unlink()
            run.folder.rmdir()
    except OSError:  # there is something beside it, or there is nothing
        pass
