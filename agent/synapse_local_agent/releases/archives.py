"""Plugins as .zip archives. Every entry is checked before any file is written."""

from __future__ import annotations

import contextlib
import errno
import posixpath
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from synapse_local_agent.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MAX_FILES = 10_000
MAX_BYTES = 2 * 2**30
"""Maximum total size of the unpacked files."""
MAX_NAME_BYTES = 255
MAX_LINK_BYTES = 4096
CONFIG = "config.yaml"
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError)
"""Errors that zipfile raises for truncated, corrupt, encrypted or unsupported archives."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive."""

    name: str
    is_program: bool
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[Member]]:
    """The files of an archive, readable within the block. A single top-level folder is dropped from their names.

    Raises:
        RegistryError: If it is corrupt or unsafe; the message names the archive and the entry.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if fault := fault_of(entries):
                msg = f"{path}: {fault}"
                raise RegistryError(msg)
            prefix = root(archive.namelist())
            yield [_member(path, archive, entry, prefix) for entry in entries if not entry.is_dir()]
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL is a seek to an invalid offset
            raise
        msg = f"{path} cannot be read as a .zip: {error}"
        raise RegistryError(msg) from None


def config(path: Path, limit: int) -> bytes | None:
    """The start of an archive's config.yaml, or None if it has none.

    Raises:
        RegistryError: If the archive is corrupt.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = root(archive.namelist()) + CONFIG
            if name not in archive.namelist():
                return None
            with archive.open(name) as file:
                return file.read(limit)
    except (*DAMAGED, OSError) as error:
        msg = f"{path} cannot be read as a .zip: {error}"
        raise RegistryError(msg) from None


def root(names: Sequence[str]) -> str:
    """The single top-level folder of an archive, with a slash, or an empty string.

    Example:
        >>> root(["ocr-1.0/config.yaml", "ocr-1.0/plugin.py"])
        'ocr-1.0/'
        >>> root(["config.yaml", "plugin/train.py"])
        ''
    """
    folders = {name.partition("/")[0] for name in names}
    return "" if CONFIG in names or len(folders) != 1 else f"{folders.pop()}/"


def fault_of(entries: Sequence[zipfile.ZipInfo]) -> str | None:
    """The reason why these entries are unsafe to unpack, with the name of the entry, or None."""
    if len(entries) > MAX_FILES:
        return f"{entries[MAX_FILES].filename!r} exceeds the limit of {MAX_FILES} files"
    size = 0
    seen: dict[str, tuple[str, bool]] = {}
    for entry in entries:
        size += entry.file_size
        fault = _fault_of_name(entry) or _fault_of_kind(entry) or _clash(entry, seen)
        if fault is None and size > MAX_BYTES:
            fault = f"exceeds the limit of {MAX_BYTES} bytes for the whole archive"
        if fault is not None:
            return f"{entry.orig_filename!r} {fault}"
    return None


def _fault_of_name(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename.removesuffix("/")
    if "\0" in entry.orig_filename or "\\" in entry.orig_filename:
        return "has a character that is not allowed in file names"
    if name.startswith("/") or name[1:2] == ":":
        return "is an absolute path"
    parts = name.split("/")
    if ".." in parts:
        return "points outside the archive"
    if "" in parts or "." in parts:
        return "is not a plain path"
    if any(len(part.encode(errors="surrogateescape")) > MAX_NAME_BYTES for part in parts):
        return "has a name that is too long"
    return None


def _fault_of_kind(entry: zipfile.ZipInfo) -> str | None:
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "has an unsupported compression method: use deflate"
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        return "is not a file, folder or link"
    return None


def _clash(entry: zipfile.ZipInfo, seen: dict[str, tuple[str, bool]]) -> str | None:
    """Check whether an entry or one of its folders clashes with an earlier one, and add it to `seen`."""
    parts = entry.filename.removesuffix("/").split("/")
    for length in range(1, len(parts) + 1):
        name = "/".join(parts[:length])
        is_file = length == len(parts) and not entry.is_dir()
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen and (is_file or seen[folded] != (name, False)):
            return f"clashes with {seen[folded][0]!r} (names are compared without case)"
        seen[folded] = (name, is_file)
    return None


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, prefix: str) -> Member:
    target = _target(path, archive, entry) if stat.S_ISLNK(entry.external_attr >> 16) else entry
    is_program = bool((target.external_attr >> 16) & stat.S_IXUSR)
    return Member(entry.filename.removeprefix(prefix), is_program, lambda: archive.open(target))


def _target(path: Path, archive: zipfile.ZipFile, link: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The target of a link.

    Raises:
        RegistryError: If the target is not a file in the archive.
    """
    with archive.open(link) as file:
        text = file.read(MAX_LINK_BYTES).decode(errors="surrogateescape")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(link.filename), text))
    with contextlib.suppress(KeyError):
        target = archive.getinfo(name)
        if not stat.S_ISLNK(target.external_attr >> 16):
            return target
    msg = f"{path}: {link.filename!r} is a link, but not to a file in the archive: replace it with its target"
    raise RegistryError(msg)
