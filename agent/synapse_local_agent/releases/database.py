"""The database in the data folder: SQLite, whose form moves forward by migrations."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FILE = "agent.sqlite"
MIGRATIONS = (
    # The form of the agents before there were migrations, whose folders have the table already.
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
    # Each index ends in the id, so that a page of a filtered list is read in its order.
    # The table is in the order of the id as well, but its rows are long: a late page is found in the index in a tenth
    # of the time.
    "CREATE INDEX releases_by_id ON releases (id)",
    "CREATE INDEX releases_by_plugin ON releases (plugin)",
    "CREATE INDEX releases_by_version ON releases (version)",
    "CREATE INDEX releases_by_digest ON releases (digest)",
)
"""One statement each, carried out once and in this order: add new ones at the end, and never change an old one."""


def connect(folder: Path) -> sqlite3.Connection:
    """Open the database in a data folder, and bring it to the form of this agent.

    Raises:
        sqlite3.Error: If it cannot be used, or a newer agent wrote it.
    """
    connection = sqlite3.connect(folder / FILE, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # What was answered with success is on the disk, not on its way there.
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Carry out the migrations that the database has not had, each whole or not at all.

    Raises:
        sqlite3.Error: If there is one that this agent does not know.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        msg = f"a newer version of the agent wrote it (its form is {version}, this agent knows {len(MIGRATIONS)})"
        raise sqlite3.DatabaseError(msg)
    for number, statement in enumerate(MIGRATIONS[version:], version + 1):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
