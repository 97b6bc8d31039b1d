"""Records of runs: a row in SQLite, and a folder for the log and for large params and results."""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
import time
from typing import TYPE_CHECKING

from synapse_local_agent.files import remove
from synapse_local_agent.runs.model import Run

if TYPE_CHECKING:
    from pathlib import Path

    from synapse_local_agent.runs.model import Job, Outcome

LOG = logging.getLogger(__name__)
DATABASE = "runs.sqlite"
LARGE = 2**16
"""Larger JSON is stored in a file instead of the row."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    name TEXT PRIMARY KEY,
    job_id TEXT,
    plugin TEXT,
    version TEXT,
    action TEXT NOT NULL,
    started REAL NOT NULL,
    finished REAL,
    outcome TEXT,
    detail TEXT,
    exit INTEGER,
    size INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS runs_by_job ON runs (job_id);
DROP INDEX IF EXISTS runs_by_start;
CREATE INDEX IF NOT EXISTS runs_by_age ON runs (started, finished, size);
"""
ROW_BYTES = 512
"""Size of a row with its index entries, without params and result, so that empty runs count too."""
ADDED = ("params", "result")
"""Columns that tables of older agents lack."""


def connect(data: Path) -> sqlite3.Connection:
    """Open the database of runs in the data folder."""
    (data / DATABASE).touch()
    (data / DATABASE).chmod(0o600)  # only its owner may read it
    connection = sqlite3.connect(data / DATABASE, check_same_thread=False, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a machine crash may lose the last commits
    except BaseException:
        connection.close()
        raise
    return connection


class RunRecords:
    """The runs of one agent. Everything except `keep` must be called on the event loop's thread."""

    def __init__(self, data: Path, connection: sqlite3.Connection) -> None:
        self._folder = data / "runs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = connection
        self._connection.executescript(SCHEMA)
        columns = {name for _, name, *_ in self._connection.execute("PRAGMA table_info(runs)")}
        for name in ADDED:
            if name not in columns:
                self._connection.execute(f"ALTER TABLE runs ADD COLUMN {name} TEXT")
        self._recover()

    def begin(self, job: Job) -> Run:
        """Record the start of a run."""
        run = Run.of(secrets.token_hex(8), self._folder)
        params = job.params.decode() if len(job.params) <= LARGE else None
        self._connection.execute(
            "INSERT INTO runs (name, job_id, plugin, version, action, started, params) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run.name, job.job_id, job.plugin, job.version, job.action, time.time(), params),
        )
        return run

    def keep(self, run: Run, file: str, content: bytes) -> None:
        """Store large params or a large result in a file. It may take long, and is thread-safe."""
        try:
            run.folder.mkdir(mode=0o700, exist_ok=True)
            (run.folder / file).write_bytes(content)
        except OSError as error:  # such as a full disk: the caller still gets the result
            LOG.warning("The record of run %s is incomplete: %s", run.name, error)

    def finish(self, run: Run, job: Job, outcome: Outcome) -> None:
        """Record the outcome of a run, after everything except its log has been removed."""
        result = None
        if outcome.error_type is None and len(outcome.result) <= LARGE:
            result = outcome.result.decode(errors="replace")
        size = ROW_BYTES + len(job.params) + len(outcome.result)
        with contextlib.suppress(OSError):  # most runs have no log, and an action may remove it
            size += run.log.stat().st_size
        self._connection.execute(
            "UPDATE runs SET finished = ?, outcome = ?, detail = ?, exit = ?, size = ?, result = ? WHERE name = ?",
            (
                time.time(),
                outcome.error_type or "succeeded",
                outcome.detail,
                outcome.exit,
                size,
                result,
                run.name,
            ),
        )

    def discard(self, run: Run) -> None:
        """Remove the record of a run that did not start."""
        remove(run.folder)
        self._connection.execute("DELETE FROM runs WHERE name = ?", (run.name,))

    def _recover(self) -> None:
        """Finish the records of runs that an earlier agent did not finish."""
        for (name,) in self._connection.execute("SELECT name FROM runs WHERE finished IS NULL").fetchall():
            remove(Run.of(name, self._folder).work_dir)
        self._connection.execute(
            "UPDATE runs SET finished = started, outcome = 'action_crashed', detail = 'The agent ended during the run.'"
            " WHERE finished IS NULL"
        )
