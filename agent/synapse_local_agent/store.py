"""What the agent keeps: releases in SQLite, their files in folders named by the hash of their content."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_local_agent import registry

if TYPE_CHECKING:
    from collections.abc import Mapping


SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    plugin TEXT NOT NULL,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    config TEXT NOT NULL,
    created TEXT NOT NULL,
    size INTEGER NOT NULL,
    UNIQUE (plugin, version)
)
"""
FILTERS = ("plugin", "version")
"""The filters of a list that the agent knows; it ignores others."""


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

    def answer(self) -> dict[str, Any]:
        """The release as the contract describes it."""
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
    """The releases of one agent, in one folder. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / "releases"
        self._files.mkdir(parents=True, exist_ok=True)
        self._adding = threading.Lock()
        """Held while files come or go, which may take long."""
        self._lock = threading.Lock()
        """Held while the database is used."""
        self._connection = sqlite3.connect(folder / "agent.sqlite", check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(SCHEMA)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def sources(self, release: Release) -> Path:
        """The folder that holds a release's files."""
        return self._files / release.digest

    def add(self, plugin: registry.Plugin) -> tuple[Release, bool]:
        """Cache a plugin, and say whether it was new; one that is cached already stays as it is.

        Raises:
            RegistryError: If the plugin's files are not as they should be.
        """
        with self._adding:
            if release := self._find("plugin = ? AND version = ?", plugin.code, plugin.version):
                return release, False
            digest, size = self._copy(plugin.folder)
            values = (plugin.code, plugin.version, digest, json.dumps(plugin.config), _now(), size)
            with self._lock, self._connection:
                cursor = self._connection.execute(
                    "INSERT INTO releases (plugin, version, digest, config, created, size) VALUES (?, ?, ?, ?, ?, ?)"
                    " RETURNING *",
                    values,
                )
                return _release(cursor.fetchone()), True

    def get(self, lookup: str) -> Release | None:
        """The release of a lookup as it stands in a path, or None."""
        if lookup.isascii() and lookup.isdigit():
            return self._find("id = ?", int(lookup)) if len(lookup) <= 18 else None  # noqa: PLR2004 - SQLite's range
        code, _, version = lookup.rpartition("@")
        return self._find("plugin = ? AND version = ?", code, version)

    def delete(self, lookup: str) -> Release | None:
        """Forget a release, and return what it was, or None; `discard` removes its files."""
        release = self.get(lookup)
        if release is None:
            return None
        with self._lock, self._connection:
            deleted = self._connection.execute("DELETE FROM releases WHERE id = ?", (release.id,))
            return release if deleted.rowcount else None

    def discard(self, digest: str) -> None:
        """Remove files that no release has any more."""
        with self._adding:
            if self._find("digest = ?", digest) is None:
                shutil.rmtree(self._files / digest, ignore_errors=True)

    def page(self, filters: Mapping[str, str], number: int, size: int) -> tuple[int, list[Release]]:
        """How many releases pass the filters, and one page of them, newest first; pages count from 1."""
        known = {name: value for name, value in filters.items() if name in FILTERS}
        where = " AND ".join(f"{name} = ?" for name in known) or "1"
        with self._lock:
            (count,) = self._connection.execute(
                f"SELECT count(*) FROM releases WHERE {where}",  # noqa: S608 - made of FILTERS alone
                (*known.values(),),
            ).fetchone()
            rows = self._connection.execute(
                f"SELECT * FROM releases WHERE {where} ORDER BY id DESC LIMIT ? OFFSET ?",  # noqa: S608 - as above
                (*known.values(), size, min((number - 1) * size, 2**62)),
            ).fetchall()
        return count, [_release(row) for row in rows]

    def _find(self, where: str, *values: object) -> Release | None:
        query = f"SELECT * FROM releases WHERE {where} LIMIT 1"  # noqa: S608 - `where` is always a constant
        with self._lock:
            row = self._connection.execute(query, values).fetchone()
        return None if row is None else _release(row)

    def _copy(self, folder: Path) -> tuple[str, int]:
        """Copy a plugin's files to a folder named by their hash, which is there whole or not at all.

        Returns:
            The hash, which is of what was copied, and the size in bytes.
        """
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=self._files))
        size = 0
        try:
            for name, path in registry.files(folder):
                copy = partial / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)
                size += copy.stat().st_size
            digest = registry.digest(partial)
            if not (self._files / digest).exists():
                partial.rename(self._files / digest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return digest, size


def _release(row: sqlite3.Row) -> Release:
    return Release(**{**dict(row), "config": json.loads(row["config"])})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
