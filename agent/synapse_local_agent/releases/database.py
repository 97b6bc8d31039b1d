"""The SQLite database in the data folder, and its migrations."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "agent.sqlite"
MIGRATIONS = (
    # Agents from before migrations already have this table.
    """
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
    """,
    # Each index ends in the id, so a page of a filtered list is read in order.
    # The table is ordered by id as well, but its rows are long: the index finds a late page ten times faster.
    "CREATE INDEX releases_by_id ON releases (id)",
    "CREATE INDEX releases_by_plugin ON releases (plugin)",
    "CREATE INDEX releases_by_version ON releases (version)",
    "CREATE INDEX releases_by_digest ON releases (digest)",
)
"""One statement each, run once and in order. Append new ones; never change an old one."""


def connect(folder: Path) -> sqlite3.Connection:
    """Open the database in a data folder, and migrate it to the schema of this agent.

    Raises:
        sqlite3.Error: If it cannot be used, or a newer agent wrote it.
    """
    connection = sqlite3.connect(folder / FILE, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A successful response means that the data is on disk.
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Run the pending migrations, each in a transaction.

    Raises:
        sqlite3.Error: If the schema is newer than this agent.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        msg = f"a newer version of the agent wrote it (schema {version}, this agent supports up to {len(MIGRATIONS)})"
        raise sqlite3.DatabaseError(msg)
    for number, statement in enumerate(MIGRATIONS[version:], version + 1):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
