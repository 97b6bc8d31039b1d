"""Removal of expired records, on a separate thread and connection, so that runs never wait for it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from synapse_local_agent.files import remove
from synapse_local_agent.runs.records import connect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection
    from pathlib import Path

    from synapse_local_agent.limits import Limits

BATCH = 200
PAUSE_SECONDS = 0.005
"""Pause between batches, so that the agent's writes get their turn."""
EXPIRED = """
SELECT rowid FROM (
    SELECT rowid, started, sum(size) OVER (ORDER BY started DESC, rowid DESC) AS total
    FROM runs INDEXED BY runs_by_age WHERE finished IS NOT NULL
) WHERE started < ? OR total > ?
"""
"""Expired runs, and the oldest runs beyond the maximum total size."""


def sweep(
    data: Path, limits: Limits, now: float, running_keys: Collection[str], is_over: Callable[[], bool] = lambda: False
) -> None:
    """Remove expired records. It may take long, and is thread-safe.

    Args:
        data: The agent's data folder.
        limits: The limits, with how long and how much to keep.
        now: The time at which `running_keys` was taken.
        running_keys: Idempotency keys of running requests.
        is_over: Whether to stop early.
    """
    with closing(connect(data)) as connection:
        rows = connection.execute("SELECT key FROM keys WHERE created < ?", (now - limits.keep_answers,))
        _delete(connection, "keys", "key", [key for (key,) in rows.fetchall() if key not in running_keys], is_over)
        rows = connection.execute(EXPIRED, (now - limits.keep_runs, limits.keep_runs_size))
        _delete(connection, "runs", "rowid", [number for (number,) in rows.fetchall()], is_over, data / "runs")


def _delete(
    connection: sqlite3.Connection,
    table: str,
    column: str,
    values: list[str] | list[int],
    is_over: Callable[[], bool],
    folder: Path | None = None,
) -> None:
    """Delete rows in batches; a run's folder goes before its row, so that no folder is left without a row."""
    for first in range(0, len(values), BATCH):
        if is_over():
            return
        batch = values[first : first + BATCH]
        where = f"{column} IN ({', '.join('?' * len(batch))})"
        if folder is not None:
            for (name,) in connection.execute(f"SELECT name FROM {table} WHERE {where}", batch).fetchall():  # noqa: S608 - ours
                remove(folder / name)
        connection.execute(f"DELETE FROM {table} WHERE {where}", batch)  # noqa: S608 - ours
        time.sleep(PAUSE_SECONDS)
