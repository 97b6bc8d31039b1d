"""How many runs go on at a time, how many wait, and what becomes of those that are too many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from synapse_local_agent import Limits

from tests.agent.helpers import client_of, create, detail, result_of, until, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

pytestmark = pytest.mark.contract
SOURCE = """
import pathlib, time

def run(params, context):
    folder = pathlib.Path(params["folder"])
    (folder / "started" / context.job_id).touch()
    while not (folder / "go" / context.job_id).exists():
        time.sleep(0.01)
    return context.job_id
"""


class Gate:
    """Runs that wait to be let go, each by its number."""

    def __init__(self, folder: Path, http: httpx.Client, registry: Path) -> None:
        self.folder = folder
        self.http = http
        for name in ("started", "go"):
            (folder / name).mkdir()
        write_plugin(registry, "gate", {"plugin.py": SOURCE})
        create(http, "gate")

    def run(self, number: int, key: str | None = None) -> httpx.Response:
        """Start a run, and wait for its answer."""
        body = {"action": "run", "params": {"folder": str(self.folder)}, "job_id": str(number)}
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post("/plugin_releases/1/run/", json=body, headers=headers)

    def started(self) -> set[int]:
        """The runs that have started."""
        return {int(path.name) for path in (self.folder / "started").iterdir()}

    def let_go(self, *numbers: int) -> None:
        """Let runs end."""
        for number in numbers:
            (self.folder / "go" / str(number)).touch()


def test_no_more_run_than_may(registry: Path, tmp_path: Path) -> None:
    """With --max-running 2, a third run starts only once one of the two has ended, and each gets its own result."""
    limits = Limits(max_running=2)
    with ThreadedAgent(registry, limits=limits) as agent, client_of(agent) as http, ThreadPoolExecutor(5) as pool:
        gate = Gate(tmp_path, http, registry)
        runs: list[Any] = [pool.submit(gate.run, 0), pool.submit(gate.run, 1)]
        until(lambda: gate.started() == {0, 1})
        runs.append(pool.submit(gate.run, 2))
        assert http.get("/health/").status_code == 200
        assert gate.started() == {0, 1}
        gate.let_go(1)
        until(lambda: gate.started() == {0, 1, 2})
        gate.let_go(0, 2)
        assert [result_of(run.result()) for run in runs] == ["0", "1", "2"]


def test_run_beyond_the_queue_is_refused(registry: Path, tmp_path: Path) -> None:
    """Where the queue is full, a run is 429 with Retry-After and nothing of it was carried out; those before go on."""
    limits = Limits(max_running=1, max_queue=1)
    with ThreadedAgent(registry, limits=limits) as agent, client_of(agent) as http, ThreadPoolExecutor(5) as pool:
        gate = Gate(tmp_path, http, registry)
        first = pool.submit(gate.run, 0)
        until(lambda: gate.started() == {0})
        keys = {1: str(uuid4()), 2: str(uuid4())}
        runs = {pool.submit(gate.run, number, key): number for number, key in keys.items()}
        refused = next(as_completed(runs))
        assert refused.result().status_code == 429
        assert int(refused.result().headers["Retry-After"]) > 0
        assert "--max-queue" in detail(refused.result())
        gate.let_go(0, 1, 2)
        (other,) = set(runs) - {refused}
        assert result_of(first.result()) == "0"
        assert result_of(other.result()) == str(runs[other])
        assert gate.started() == {0, runs[other]}
        # The refusal was not remembered.
        assert result_of(gate.run(runs[refused], keys[runs[refused]])) == str(runs[refused])


def test_stop_answers_those_that_wait(registry: Path, tmp_path: Path) -> None:
    """When the agent stops, runs that wait are answered with action_crashed, and never start."""
    with ThreadPoolExecutor(5) as pool:
        agent = ThreadedAgent(registry, limits=Limits(max_running=1, max_queue=2)).start()
        with client_of(agent) as http:
            gate = Gate(tmp_path, http, registry)
            first = pool.submit(gate.run, 0)
            until(lambda: gate.started() == {0})
            runs = [pool.submit(gate.run, number) for number in (1, 2, 3)]
            refused = next(as_completed(runs))  # so the other two wait by now
            agent.stop()
            answers = [run.result() for run in (first, *runs) if run is not refused]
        assert refused.result().status_code == 429
        assert [answer.json()["error_type"] for answer in answers] == ["action_crashed"] * 3
        assert gate.started() == {0}
