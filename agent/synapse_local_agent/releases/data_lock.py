"""The lock of a data folder: one agent at a time."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

FILE = "lock"


class DataInUseError(Exception):
    """Another agent uses the data folder; the message says what to do, in one line."""


class Lock:
    """An exclusive lock of a data folder, until it is closed.

    The system releases it when the process ends for any reason, so there are no stale locks.

    Args:
        folder: The data folder.

    Raises:
        DataInUseError: If another agent holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / FILE).open("a+", encoding="ascii")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with self._file:
                self._file.seek(0)
                holder = self._file.read().strip() or "unknown"
            msg = f"Another agent (process {holder}) uses the data folder {folder}: stop it, or use another --data"
            raise DataInUseError(msg) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def close(self) -> None:
        """Release the lock."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
