"""The files of a plugin, from a folder or an archive."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from synapse_local_agent.errors import RegistryError
from synapse_local_agent.releases import archives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

LEFT_OUT = {"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
READ_ONLY = 0o444
READ_ONLY_PROGRAM = 0o555
CHUNK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a plugin."""

    name: str
    """Path within the plugin, with slashes."""
    is_program: bool
    """Whether it is executable."""
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[Entry]]:
    """The files of the plugin in a folder or an archive, sorted by name, readable within the block.

    Raises:
        RegistryError: If a file cannot be cached; the message names it.
    """
    if path.is_dir():
        yield [Entry(name, bool(file.stat().st_mode & stat.S_IXUSR), _opener(file)) for name, file in _files(path)]
        return
    with archives.opened(path) as members:
        yield sorted(
            (
                Entry(member.name, member.is_program, member.open)
                for member in members
                if LEFT_OUT.isdisjoint(member.name.split("/"))
            ),
            key=lambda entry: entry.name,
        )


def digest(path: Path) -> str:
    """SHA-256 of the names, contents and executable bits of a plugin's files, in hexadecimal."""
    total = hashlib.sha256()
    with opened(path) as entries:
        for entry in entries:
            with entry.open() as file:
                content = hashlib.sha256()
                while chunk := file.read(CHUNK_BYTES):
                    content.update(chunk)
            ending = b"x;" if entry.is_program else b";"
            total.update(b"%d:%b:%b" % (len(entry.name), os.fsencode(entry.name), content.hexdigest().encode()))
            total.update(ending)
    return total.hexdigest()


def copy(path: Path, target: Path) -> int:
    """Copy a plugin's files into an empty folder, make it read-only and sync it to disk.

    Returns:
        The total size in bytes.
    """
    size = 0
    with opened(path) as entries:
        for entry in entries:
            file = target / entry.name
            file.parent.mkdir(parents=True, exist_ok=True)
            with entry.open() as source, file.open("xb") as copied:
                size += _pour(source, copied)
                copied.flush()
                os.fchmod(copied.fileno(), READ_ONLY_PROGRAM if entry.is_program else READ_ONLY)
                os.fsync(copied.fileno())
    for folder, _, _ in os.walk(target, topdown=False):
        os.chmod(folder, READ_ONLY_PROGRAM)  # noqa: PTH101 - os.walk yields strings
        sync(folder)
    return size


def sync(folder: str | os.PathLike[str]) -> None:
    """Sync a folder to disk, so that new names in it are durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pour(source: IO[bytes], target: BinaryIO) -> int:
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        size += target.write(chunk)
    return size


def _opener(file: Path) -> Callable[[], IO[bytes]]:
    return lambda: file.open("rb")


def _files(folder: Path) -> list[tuple[str, Path]]:
    """The files in a folder with their paths within it, sorted.

    Raises:
        RegistryError: If a link does not point to a file in the plugin.
    """
    root = folder.resolve()
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if LEFT_OUT.isdisjoint(name.parts):
            is_file = path.is_file()
            if path.is_symlink() and not (is_file and path.resolve().is_relative_to(root)):
                msg = f"{path} is a link, but not to a file in the plugin: replace it with its target"
                raise RegistryError(msg)
            if is_file:
                found.append((name.as_posix(), path))
    return sorted(found)
