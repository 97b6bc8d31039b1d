"""Virtual environments, made by uv, one per set of requirements."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from synapse_local_agent.errors import RequirementsError
from synapse_local_agent.releases.requirements import is_satisfied, normalize

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from packaging.requirements import Requirement

    from synapse_local_agent.limits import Limits

    Install = Callable[[dict[str, Any]], Awaitable[str | None]]
    """Runs `installer.install` with these arguments; returns an error message or None."""

FILE = "requirements.txt"


@dataclass(slots=True)
class Environment:
    """A Python with a set of requirements. It is not removed until it is closed."""

    python: str = sys.executable
    folder: Path | None = None
    lock: TextIO | None = field(default=None, repr=False)

    def close(self) -> None:
        """Release it."""
        if self.lock is not None:
            self.lock.close()


def name_of(requirements: Sequence[Requirement]) -> str:
    """The name of the environment for these requirements and this Python."""
    parts = [sys.implementation.cache_tag or "", sys.version, sys.base_prefix, *map(normalize, requirements)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Environments:
    """The environments in a folder, which agents can share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def get(self, requirements: Sequence[Requirement], install: Install) -> Environment:
        """Get the environment for some requirements; make it if needed.

        Raises:
            RequirementsError: If it cannot be made.
        """
        if all(map(is_satisfied, requirements)):
            return Environment()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = name_of(requirements)
        folder = self._folder / name
        lock = (self._folder / f"{name}.lock").open("a", encoding="ascii")
        try:
            # Making and removing it take the lock exclusively; users share it.
            while not (folder.is_dir() and _try(lock, fcntl.LOCK_SH) and folder.is_dir()):
                if not folder.is_dir() and _try(lock, fcntl.LOCK_EX):
                    if folder.is_dir():  # another agent or run was faster
                        continue
                    await self._make(folder, requirements, install)
                else:
                    await asyncio.sleep(0.01)
            os.utime(lock.name)  # records the last use
        except BaseException:
            lock.close()
            raise
        return Environment(str(folder / "bin" / "python"), folder, lock)

    async def _make(self, folder: Path, requirements: Sequence[Requirement], install: Install) -> None:
        """Make an environment; the final rename is atomic."""
        import uv

        partial = folder.with_suffix(".partial")
        await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)  # left by an interrupted attempt
        partial.mkdir(mode=0o700)
        (partial / FILE).write_text("".join(f"{normalize(entry)}\n" for entry in requirements), encoding="utf-8")
        try:
            arguments = {
                "uv": uv.find_uv_bin(),
                "python": sys.executable,
                "folder": str(partial / "environment"),
                "requirements": str(partial / FILE),
            }
            if failure := await install(arguments):
                raise RequirementsError(failure)
            size = await asyncio.to_thread(_size, partial)
            (partial / "environment" / "size").write_text(str(size), encoding="ascii")
            (partial / "environment").rename(folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)

    def sweep(self, limits: Limits, now: float) -> None:
        """Remove expired environments, and the least recently used beyond the total size. It may take long."""
        found = []
        for path in self._folder.glob("*.lock"):
            folder = path.with_suffix("")
            if folder.is_dir():
                found.append((path.stat().st_mtime, folder, path))
        size = 0
        for used, folder, path in sorted(found, reverse=True):
            size += _recorded(folder / "size")
            if used < now - limits.keep_environments or size > limits.keep_environments_size:
                with path.open("a", encoding="ascii") as lock:
                    if _try(lock, fcntl.LOCK_EX):
                        gone = folder.with_suffix(".partial")
                        shutil.rmtree(gone, ignore_errors=True)
                        folder.rename(gone)  # so that no partial environment is left
                        shutil.rmtree(gone, ignore_errors=True)


def _try(lock: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recorded(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # changed by somebody else
        return 0


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
