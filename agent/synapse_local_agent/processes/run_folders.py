"""The run folders on this machine. Creating one takes longer than all the rest of a short run.

So an idle process keeps its folder if the action left it empty, apart from an empty log and an empty `work`. No other
process may use that folder: its log would get this process's last output.
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


def prepare(run: Run, recycled_dir: Path | None) -> None:
    """Create the folder of a run from its process's recycled folder, or a new one."""
    if recycled_dir is not None:
        try:
            recycled_dir.rename(run.folder)
        except OSError:  # it was changed, or the run's folder already has large params
            remove(recycled_dir)
        else:
            return
    run.folder.mkdir(mode=MODE, exist_ok=True)
    run.work_dir.mkdir(mode=MODE)


def recycle(run: Run, parent: Path) -> Path | None:
    """Move the folder of a run to `parent` if it has only an empty log and an empty `work`; return its path."""
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
    except OSError:  # the action may have removed it
        return None


def tidy(run: Run) -> None:
    """Remove `work`, and an empty log with its folder. It may take long, and is thread-safe."""
    remove(run.work_dir)
    try:
        if run.log.lstat().st_size == 0:
            run.log.unlink()
            run.folder.rmdir()
    except OSError:  # the folder has other files, or is missing
        pass
