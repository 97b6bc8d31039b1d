"""The records of runs, and how long they are kept."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_local_agent import Limits

from tests.agent.helpers import client_of, publish, result_of, run, run_source, runs_of, until
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    import httpx


def test_record_of_a_run(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """Each run has a row with its inputs and outcome, and a folder with its log, readable only by its owner."""
    source = "import subprocess\ndef run(params, context):\n    print('said')\n    subprocess.run(['echo', 'child'])\n"
    source += "    return [params, (context.work_dir.parent / 'log').read_text()]"  # it can be read during the run
    publish(own_http, registry, source)
    for _ in range(2):
        run(own_http, params={"a": "문서"}, job_id="../../job")
    row, second = runs_of(tmp_path / "data")
    folder = tmp_path / "data" / "runs" / row["name"]
    for path, mode in ((folder, 0o700), (folder.parent, 0o700), (tmp_path / "data" / "runs.sqlite", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    for name in (row["name"], second["name"]):
        assert (folder.parent / name / "log").read_text() == "said\nchild\n"
    assert json.loads(row["params"]) == {"a": "문서"}
    assert json.loads(row["result"]) == [{"a": "문서"}, "said\nchild\n"]
    assert (row["job_id"], row["plugin"], row["version"], row["action"]) == ("../../job", "ocr", "1.0.0", "run")
    assert (row["outcome"], row["exit"]) == ("succeeded", None)
    assert row["started"] <= row["finished"]
    for failing in ("raise ValueError('no')", "os._exit(3)", "os.abort()"):
        run_source(own_http, f"import os\ndef run(params): {failing}")
    failed = runs_of(tmp_path / "data")[2:]
    expected = [("action_failed", None), ("action_crashed", 3), ("action_crashed", -6)]
    assert [(row["outcome"], row["exit"]) for row in failed] == expected
    assert failed[0]["detail"].startswith("ValueError: no")
    assert row["size"] == 512 + len("said\nchild\n") + len(row["params"]) + len(row["result"].encode())


def test_large_params_and_results_are_files(own_http: httpx.Client, tmp_path: Path) -> None:
    """Large params and results are in the run's folder, not in the row."""
    text = "x" * 70_000
    assert result_of(run_source(own_http, "def run(params): return [params['text']]", {"text": text})) == [text]
    (row,) = runs_of(tmp_path / "data")
    folder = tmp_path / "data" / "runs" / row["name"]
    assert (row["params"], row["result"]) == (None, None)
    assert json.loads((folder / "params.json").read_bytes()) == {"text": text}
    assert json.loads((folder / "result.json").read_bytes()) == [text]
    assert row["size"] > 140_000


def test_run_that_printed_nothing_has_no_folder(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A run without output leaves no folder, even if its process is reused or files are left in its work_dir."""
    source = "def run(params, context):\n    folder = context.work_dir / 'deep'\n    folder.mkdir()\n"
    source += "    (folder / 'file').write_text('x')\n    folder.chmod(0o500)\n    return str(context.work_dir)"
    publish(own_http, registry, source)
    for _ in range(2):
        run(own_http)
    work_dir = Path(result_of(run_source(own_http, source)))
    assert work_dir.parent.parent == tmp_path / "data" / "runs"
    assert len(runs_of(tmp_path / "data")) == 3
    assert list((tmp_path / "data" / "runs").iterdir()) == []


def test_runs_are_swept(registry: Path, tmp_path: Path) -> None:
    """The oldest records above the size limit are removed, and all expired ones."""
    data = tmp_path / "data"
    limits = Limits(keep_runs_size=25_000, sweep_interval=0.02)
    with ThreadedAgent(registry, data=data, limits=limits) as agent, client_of(agent) as http:
        for number in range(4):
            run_source(http, "def run(params): print('x' * 9_999)", job_id=str(number))
        until(lambda: len(list((data / "runs").iterdir())) <= 2)
        until(lambda: [row["job_id"] for row in runs_of(data)] == ["2", "3"])
    with ThreadedAgent(registry, data=data, limits=Limits(keep_runs=0.2, sweep_interval=0.02)):
        until(lambda: not list((data / "runs").iterdir()) and not runs_of(data))


def test_run_that_goes_on_is_not_swept(registry: Path, tmp_path: Path) -> None:
    """A run is not removed while it runs, however long, and an action may remove more than its own files."""
    limits = Limits(keep_runs=0, keep_runs_size=0, sweep_interval=0.02)
    source = "import shutil, time\ndef run(params, context):\n    for _ in range(20):\n        time.sleep(0.01)\n"
    source += "        assert context.work_dir.is_dir()\n    shutil.rmtree(context.work_dir.parent)\n    return 1"
    with ThreadedAgent(registry, data=tmp_path / "data", limits=limits) as agent, client_of(agent) as http:
        assert result_of(run_source(http, source)) == 1


def test_records_that_an_agent_left(registry: Path, tmp_path: Path) -> None:
    """An agent keeps the records of an older one, and records the runs of a killed one as crashed."""
    data = tmp_path / "data"
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        run_source(http, "def run(params): print(1)")
    (row,) = runs_of(data)
    work_dir = data / "runs" / row["name"] / "work"
    work_dir.mkdir()
    with closing(sqlite3.connect(data / "runs.sqlite")) as connection, connection:
        connection.execute("UPDATE runs SET finished = NULL, outcome = NULL")  # as during the run
        for column in ("params", "result"):  # older agents lack these columns
            connection.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        run_source(http, "def run(params): return 2")
    left, new = runs_of(data)
    assert (left["outcome"], left["finished"] is not None, left["result"]) == ("action_crashed", True, None)
    assert (new["outcome"], new["result"]) == ("succeeded", "2")
    assert not work_dir.exists()
