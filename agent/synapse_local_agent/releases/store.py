"""The store: releases in SQLite, and their files in folders named by the hash of their content."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_local_agent.files import remove
from synapse_local_agent.releases import database, plugin_files

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

    from synapse_local_agent.releases.registry import Plugin

DIGEST = re.compile("[0-9a-f]{64}")
LOG = logging.getLogger(__name__)
PARTIAL = "partial-"
"""Name prefix of folders that are being created or removed, which belong to no release."""
MAX_COUNTS = 1000
FILTERS = ("plugin", "version")
"""The supported filters of a list; others are ignored."""


@dataclass(frozen=True, slots=True)
class Release:
    """A cached release."""

    id: int
    plugin: str
    version: str
    digest: str
    config: dict[str, Any]
    created: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """The release as JSON, as in the contract."""
        return {
            "id": self.id,
            "plugin": self.plugin,
            "version": self.version,
            "config": self.config,
            "actions": list(self.config["actions"]),
            "created": self.created,
            "size": self.size,
        }


class Store:
    """The releases of one agent, in a folder that a `Lock` protects. Thread-safe.

    A release's files are written before its row, and its row is deleted before its files. So even if the agent is
    killed, every row has all its files. Files without a row are removed at the next start.
    """

    def __init__(self, folder: Path) -> None:
        self._files = folder / "releases"
        self._files.mkdir(parents=True, exist_ok=True)
        self._creating: dict[tuple[str, str], tuple[threading.Lock, list[None]]] = {}
        self._placing = threading.Lock()
        """Held while a folder and its row are added or removed, which is quick."""
        self._lock = threading.Lock()
        """Held while the database is used."""
        self._counts: dict[tuple[tuple[str, str], ...], int] = {}
        """Cached number of releases per filter, valid until the next change; only this agent changes them."""
        self._connection = database.connect(folder)
        try:
            self._recover()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def sources(self, release: Release) -> Path:
        """The folder with a release's files."""
        return self._files / release.digest

    def add(self, plugin: Plugin) -> tuple[Release, bool]:
        """Cache a plugin and return whether it is new. A release that is already cached does not change.

        Raises:
            RegistryError: If the plugin's files are invalid.
        """
        with self._only_one(plugin.code, plugin.version):
            if release := self.find(plugin.code, plugin.version):
                return release, False
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self._files))
            try:
                size = plugin_files.copy(plugin.path, partial)
                digest = plugin_files.digest(partial)
                values = (plugin.code, plugin.version, digest, json.dumps(plugin.config), _now(), size)
                with self._placing:
                    if not (self._files / digest).exists():
                        partial.rename(self._files / digest)
                        plugin_files.sync(self._files)
                    return self._insert(values), True
            finally:
                remove(partial)

    def find(self, plugin: str, version: str) -> Release | None:
        """The release with this plugin code and version, or None."""
        return self._find("plugin = ? AND version = ?", plugin, version)

    def get(self, lookup: str) -> Release | None:
        """The release for a lookup (an id or `code@version`), or None."""
        if lookup.isascii() and lookup.isdigit():
            return self._find("id = ?", int(lookup)) if len(lookup) <= 18 else None  # noqa: PLR2004 - SQLite's range
        code, _, version = lookup.rpartition("@")
        return self.find(code, version)

    def delete(self, lookup: str) -> Release | None:
        """Delete the row of a release and return the release, or None; `discard` removes its files."""
        release = self.get(lookup)
        if release is None:
            return None
        with self._lock:
            with self._connection:
                deleted = self._connection.execute("DELETE FROM releases WHERE id = ?", (release.id,)).rowcount
            self._changed(-deleted)
        return release if deleted else None

    def discard(self, digest: str) -> None:
        """Remove files unless a release still uses them."""
        with self._placing:
            if self._find("digest = ?", digest) is not None or not (self._files / digest).exists():
                return
            going = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self._files))
            (self._files / digest).rename(going)
        remove(going)

    def page(self, filters: Mapping[str, str], number: int, size: int) -> tuple[int, list[Release]]:
        """The number of releases that match the filters, and one page of them, newest first. Pages start at 1."""
        known = {name: value for name, value in filters.items() if name in FILTERS}
        where = " AND ".join(f"{name} = ?" for name in known) or "1"
        index = "" if known else "INDEXED BY releases_by_id"
        with self._lock:
            count = self._count(where, known)
            before = min((number - 1) * size, count)
            # SQLite steps over all rows before the page, so start from the nearer end.
            order, size, before = (
                ("DESC", size, before)
                if before <= count // 2
                else ("ASC", min(size, count - before), max(count - before - size, 0))
            )
            rows = self._connection.execute(
                # Ids come from an index, so only the rows of the page are read.
                f"SELECT * FROM releases WHERE id IN (SELECT id FROM releases {index} WHERE {where}"  # noqa: S608 - made of FILTERS alone
                f" ORDER BY id {order} LIMIT ? OFFSET ?) ORDER BY id DESC",
                (*known.values(), size, before),
            ).fetchall()
        return count, [_release(row) for row in rows]

    def _count(self, where: str, known: Mapping[str, str]) -> int:
        """The number of releases that match, cached: counting a million takes longer than finding a page."""
        key = tuple(sorted(known.items()))
        if key not in self._counts:
            if len(self._counts) >= MAX_COUNTS:
                self._counts.clear()
            query = f"SELECT count(*) FROM releases WHERE {where}"  # noqa: S608 - made of FILTERS alone
            (self._counts[key],) = self._connection.execute(query, (*known.values(),)).fetchone()
        return self._counts[key]

    def _changed(self, by: int) -> None:
        """Clear the cached counts, except the total, which is adjusted."""
        total = self._counts.get(())
        self._counts = {} if total is None else {(): total + by}

    def _find(self, where: str, *values: object) -> Release | None:
        query = f"SELECT * FROM releases WHERE {where} LIMIT 1"  # noqa: S608 - `where` is always a constant
        with self._lock:
            row = self._connection.execute(query, values).fetchone()
        return None if row is None else _release(row)

    def _insert(self, values: tuple[object, ...]) -> Release:
        with self._lock:
            with self._connection:
                cursor = self._connection.execute(
                    "INSERT INTO releases (plugin, version, digest, config, created, size) VALUES (?, ?, ?, ?, ?, ?)"
                    " RETURNING *",
                    values,
                )
                row = cursor.fetchone()
            self._changed(1)
        return _release(row)

    @contextlib.contextmanager
    def _only_one(self, *name: str) -> Iterator[None]:
        """Allow one create per release at a time."""
        with self._placing:
            lock, waiting = self._creating.setdefault((name[0], name[1]), (threading.Lock(), []))
            waiting.append(None)
        try:
            with lock:
                yield
        finally:
            with self._placing:
                waiting.pop()
                if not waiting:
                    del self._creating[name[0], name[1]]

    def _recover(self) -> None:
        """Remove folders without rows and rows without folders, as after a killed agent or a manual removal."""
        digests = {digest for (digest,) in self._connection.execute("SELECT DISTINCT digest FROM releases")}
        folders = {path.name for path in self._files.iterdir()}
        for name in folders - digests:
            if name.startswith(PARTIAL) or DIGEST.fullmatch(name):
                remove(self._files / name)
        for digest in digests - folders:
            with self._connection:
                gone = self._connection.execute(
                    "DELETE FROM releases WHERE digest = ? RETURNING plugin, version", (digest,)
                ).fetchall()
            for row in gone:
                LOG.warning("The files of %s@%s are missing: the release was removed", row["plugin"], row["version"])


def _release(row: sqlite3.Row) -> Release:
    number, plugin, version, digest, config, created, size = row
    return Release(number, plugin, version, digest, json.loads(config), created, size)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
