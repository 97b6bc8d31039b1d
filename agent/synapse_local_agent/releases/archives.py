"""Plugins as .zip archives: every name in one is checked before any of it is written."""

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
"""What all files of an archive may have together, unpacked."""
MAX_NAME_BYTES = 255
MAX_LINK_BYTES = 4096
CONFIG = "config.yaml"
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError, ValueError)
"""What zipfile raises of archives that are cut off, changed, encrypted, or packed in a way it does not know."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive."""

    name: str
    is_program: bool
    open: Callable[[], IO[bytes]]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[Member]]:
    """The files of an archive, to be read within the block; where all are in one folder, as if they were not.

    Raises:
        RegistryError: If it is damaged or may not be unpacked; the message names the archive and the entry.
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
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place in the archive that there is not
            raise
        msg = f"{path} is not a .zip that can be unpacked: {error}"
        raise RegistryError(msg) from None


def config(path: Path, limit: int) -> bytes | None:
    """The start of an archive's config.yaml, or None where it has none.

    Raises:
        RegistryError: If it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = root(archive.namelist()) + CONFIG
            if name not in archive.namelist():
                return None
            with archive.open(name) as file:
                return file.read(limit)
    except (*DAMAGED, OSError) as error:
        msg = f"{path} is not a .zip that can be unpacked: {error}"
        raise RegistryError(msg) from None


def root(names: Sequence[str]) -> str:
    """The folder that all of an archive is in, with its slash, or nothing.

    Example:
        >>> root(["ocr-1.0/config.yaml", "ocr-1.0/plugin.py"])
        'ocr-1.0/'
        >>> root(["config.yaml", "plugin/train.py"])
        ''
    """
    folders = {name.partition("/")[0] for name in names}
    return "" if CONFIG in names or len(folders) != 1 else f"{folders.pop()}/"


def fault_of(entries: Sequence[zipfile.ZipInfo]) -> str | None:
    """Why an archive of these entries may not be unpacked, naming the entry, or None."""
    if len(entries) > MAX_FILES:
        return f"{entries[MAX_FILES].filename!r} is one file more than the {MAX_FILES} that an archive may have"
    size = 0
    seen: dict[str, tuple[str, bool]] = {}
    for entry in entries:
        size += entry.file_size
        fault = _fault_of_name(entry) or _fault_of_kind(entry) or _clash(entry, seen)
        if fault is None and size > MAX_BYTES:
            fault = f"brings the archive to more than {MAX_BYTES} bytes"
        if fault is not None:
            return f"{entry.orig_filename!r} {fault}"
    return None


def _fault_of_name(entry: zipfile.ZipInfo) -> str | None:
    name = entry.filename.removesuffix("/")
    if "\0" in entry.orig_filename or "\\" in entry.orig_filename:
        return "has a character that names of files must not have"
    if name.startswith("/") or name[1:2] == ":":
        return "is an absolute path"
    parts = name.split("/")
    if ".." in parts:
        return "leads out of the archive"
    if "" in parts or "." in parts:
        return "is not a plain path"
    if any(len(part.encode(errors="surrogateescape")) > MAX_NAME_BYTES for part in parts):
        return "has a name that is too long"
    return None


def _fault_of_kind(entry: zipfile.ZipInfo) -> str | None:
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "is packed in a way that is not read here: use deflate"
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}:
        return "is neither a file, a folder nor a link"
    return None


def _clash(entry: zipfile.ZipInfo, seen: dict[str, tuple[str, bool]]) -> str | None:
    """Whether an entry, or a folder of it, falls on one before it; those are remembered in `seen`."""
    parts = entry.filename.removesuffix("/").split("/")
    for length in range(1, len(parts) + 1):
        name = "/".join(parts[:length])
        is_file = length == len(parts) and not entry.is_dir()
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen and (is_file or seen[folded] != (name, False)):
            return f"falls on {seen[folded][0]!r}, or would where case is not told apart"
        seen[folded] = (name, is_file)
    return None


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, prefix: str) -> Member:
    target = _target(path, archive, entry) if stat.S_ISLNK(entry.external_attr >> 16) else entry
    is_program = bool((target.external_attr >> 16) & stat.S_IXUSR)
    return Member(entry.filename.removeprefix(prefix), is_program, lambda: archive.open(target))


def _target(path: Path, archive: zipfile.ZipFile, link: zipfile.ZipInfo) -> zipfile.ZipInfo:
    """The file that a link leads to.

    Raises:
        RegistryError: If it leads anywhere but to a file of the archive.
    """
    with archive.open(link) as file:
        text = file.read(MAX_LINK_BYTES).decode(errors="surrogateescape")
    name = posixpath.normpath(posixpath.join(posixpath.dirname(link.filename), text))
    with contextlib.suppress(KeyError):
        target = archive.getinfo(name)
        if not stat.S_ISLNK(target.external_attr >> 16):
            return target
    msg = f"{path}: {link.filename!r} is a link, and not to a file of the archive: put there what it leads to"
    raise RegistryError(msg)
