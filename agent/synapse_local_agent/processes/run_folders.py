"""The folders that runs have on this machine. Making one takes longer than all the rest of a short run.

A process that is kept keeps its folder too, if the action left nothing in it: an empty log and an empty `work`. It is
lent to no other process, whose log would get what this one prints at its end.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from synapse_local_agent.files import remove

if TYPE_CHECKING:
    from pathlib import Path

    from synapse_local_agent.runs.model import Run

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
    """Take the folder of a run away, if the action left nothing in it but an empty log and an empty `work`."""
    try:
        is_empty = (
            run.log.lstat().st_size == 0
            and not os.listdir(run.work_dir)  # noqa: PTH208 - takes half the time of iterdir
            and len(os.listdir(run.folder)) == len(("log", "work"))  # noqa: PTH208 - as above
            and stat.S_IMODE(run.work_dir.lstat().st_mode) == MODE
        )
        if not is_empty:
            return None
        return run.folder.rename(parent / run.name)
    except OSError:  # the action may have removed anything
        return None


def tidy(run: Run) -> None:
    """Remove `work`, and an empty log with its folder. It may take long, and is for any thread."""
    remove(run.work_dir)
    try:
        if run.log.lstat().st_size == 0:
            run.log.unlink()
            run.folder.rmdir()
    except OSError:  # there is something beside it, or there is nothing
        pass
