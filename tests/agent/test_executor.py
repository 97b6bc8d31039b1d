"""What the agent asks of whatever runs its actions, how many run at a time, and what becomes of too many."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.errors import UnavailableError
from synapse_local_agent.runs.executor import Executor
from synapse_local_agent.runs.model import Job, Outcome

from tests.agent.helpers import client_of, create, detail, result_of, until, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx
    from synapse_local_agent.runs.executor import OnStart
    from synapse_local_agent.runs.model import Run

pytestmark = pytest.mark.contract
RUN = "/plugin_releases/1/run/"


class Echo:
    """An executor that answers with the params, without the help of a process: `wait` waits until it is let go."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.jobs: list[Job] = []
        self.free: set[str | None] = set()
        self.waiting: dict[str, tuple[Job, asyncio.Future[Outcome]]] = {}

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> Executor:
        """The executor of an agent."""
        del data, variables, limits
        return self

    async def start(self) -> None:
        """Note that it was called."""
        self.calls.append("start")

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Give the params back."""
        self.jobs.append(job)
        if job.action == "render":
            msg = "The run asks for 1 GPU, and none of the 3 nodes has one."
            raise UnavailableError(msg, "gpu_unavailable")
        await on_start()
        run.folder.mkdir()
        run.log.write_text("said")
        if job.action == "wait" and job.job_id not in self.free:
            self.waiting[run.name] = (job, asyncio.get_running_loop().create_future())
            return await self.waiting[run.name][1]
        return Outcome(job.params)

    def let_go(self, *job_ids: str) -> None:
        """Let runs of these jobs end, those that wait and those to come."""
        self.free.update(job_ids)
        for job, end in list(self.waiting.values()):
            if job.job_id in job_ids:
                end.get_loop().call_soon_threadsafe(end.set_result, Outcome(job.params))

    def started(self) -> list[str]:
        """The jobs of the runs that have started."""
        return sorted(job.job_id or "" for job in self.jobs)

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run that waits."""
        self.waiting[name][1].set_result(outcome)

    def forget(self, digest: str) -> None:
        """Note that it was called."""
        self.calls.append(f"forget {digest}")

    async def stop(self) -> None:
        """Note that it was called."""
        self.calls.append("stop")


@pytest.fixture
def echo(registry: Path) -> Echo:
    """An executor, and in the registry a plugin with its actions."""
    actions = dict.fromkeys(("echo", "wait", "render"), "plugin:run")
    write_plugin(registry, "ocr", {"plugin.py": "", "requirements.txt": "washer>=1"}, actions)
    return Echo()


def wait(http: httpx.Client, job: str, key: str | None = None) -> httpx.Response:
    """Run a job that waits to be let go."""
    body = {"action": "wait", "params": {"job": job}, "job_id": job}
    return http.post(RUN, json=body, headers={"Idempotency-Key": key} if key else {})


def outcomes(data: Path) -> list[str]:
    """What the records of an agent say became of its runs."""
    with closing(sqlite3.connect(data / "runs.sqlite")) as connection:
        return [outcome for (outcome,) in connection.execute("SELECT outcome FROM runs ORDER BY started")]


def test_executor_is_given_the_job_whole(registry: Path, tmp_path: Path, echo: Echo) -> None:
    """An executor gets what the action is called with and what it needs, a release with the hash of its files."""
    body = {"action": "echo", "params": {"a": "문서"}, "job_id": "7", "requirements": ["dryer"], "language": "ko"}
    with ThreadedAgent(registry, data=tmp_path, executor=echo) as agent, client_of(agent) as http:
        create(http, "ocr")
        assert result_of(http.post(RUN, json=body)) == {"a": "문서"}
        http.delete("/plugin_releases/1")
    (job,) = echo.jobs
    assert (job.plugin, job.version, job.action, job.entrypoint) == ("ocr", "1.0.0", "echo", "plugin:run")
    assert (job.job_id, job.language, list(map(str, job.requirements))) == ("7", "ko", ["dryer", "washer>=1"])
    assert json.loads(job.params) == {"a": "문서"}
    assert job.sources is not None
    assert job.sources.name == job.digest
    assert echo.calls[0] == "start"
    assert f"forget {job.digest}" in echo.calls
    assert echo.calls[-1] == "stop"
    assert outcomes(tmp_path) == ["succeeded"]


def test_what_no_machine_can_take_is_unavailable(registry: Path, tmp_path: Path, echo: Echo) -> None:
    """A job that the executor has nothing for is 503 with the kind and what there is; its key is not used up."""
    headers = {"Idempotency-Key": str(uuid4())}
    with ThreadedAgent(registry, data=tmp_path, executor=echo) as agent, client_of(agent) as http:
        create(http, "ocr")
        for _ in range(2):
            response = http.post(RUN, json={"action": "render"}, headers=headers)
            assert (response.status_code, response.json()["error_type"]) == (503, "gpu_unavailable")
            assert "none of the 3 nodes" in detail(response)
    assert len(echo.jobs) == 2
    assert outcomes(tmp_path) == []


def test_time_limit_is_kept_for_every_executor(registry: Path, echo: Echo) -> None:
    """A run beyond its time is cancelled, and answered with action_timeout."""
    with ThreadedAgent(registry, limits=Limits(run_timeout=0.05), executor=echo) as agent, client_of(agent) as http:
        create(http, "ocr")
        response = wait(http, "late")
    assert (response.status_code, response.json()["error_type"]) == (504, "action_timeout")


def test_executor_that_cannot_start(registry: Path) -> None:
    """Where the executor does not come up, the agent does not start, and the error says why."""

    class Broken(Echo):
        async def start(self) -> None:
            msg = "there is no cluster"
            raise OSError(msg)

    with pytest.raises(RuntimeError, match="did not start") as caught:
        ThreadedAgent(registry, executor=Broken()).start()
    assert str(caught.value.__cause__) == "there is no cluster"


def test_no_more_run_than_may(registry: Path, echo: Echo) -> None:
    """With --max-running 2, a third run starts only once one of the two has ended, and each gets its own result."""
    with (
        ThreadedAgent(registry, limits=Limits(max_running=2), executor=echo) as agent,
        client_of(agent) as http,
        ThreadPoolExecutor() as pool,
    ):
        create(http, "ocr")
        runs = [pool.submit(wait, http, job) for job in "ab"]
        until(lambda: echo.started() == ["a", "b"])
        runs.append(pool.submit(wait, http, "c"))
        assert http.get("/health/").status_code == 200
        assert echo.started() == ["a", "b"]
        echo.let_go("b")
        until(lambda: echo.started() == ["a", "b", "c"])
        until(lambda: len(echo.waiting) == 3)
        echo.let_go("a", "c")
        assert [result_of(run.result())["job"] for run in runs] == ["a", "b", "c"]


def test_run_beyond_the_queue_is_refused(registry: Path, echo: Echo) -> None:
    """Where the queue is full, a run is 429 with Retry-After and nothing of it was carried out; those before go on."""
    limits = Limits(max_running=1, max_queue=1)
    with (
        ThreadedAgent(registry, limits=limits, executor=echo) as agent,
        client_of(agent) as http,
        ThreadPoolExecutor() as pool,
    ):
        create(http, "ocr")
        first = pool.submit(wait, http, "a")
        until(lambda: echo.waiting)
        keys = {"b": str(uuid4()), "c": str(uuid4())}
        runs = {pool.submit(wait, http, job, key): job for job, key in keys.items()}
        refused = next(as_completed(runs))
        assert refused.result().status_code == 429
        assert int(refused.result().headers["Retry-After"]) > 0
        assert "--max-queue" in detail(refused.result())
        echo.let_go("a", "b", "c")
        (other,) = set(runs) - {refused}
        assert result_of(first.result()) == {"job": "a"}
        assert result_of(other.result()) == {"job": runs[other]}
        assert echo.started() == ["a", runs[other]]
        # The refusal was not remembered.
        assert result_of(wait(http, runs[refused], keys[runs[refused]])) == {"job": runs[refused]}


def test_stop_answers_those_that_run_and_wait(registry: Path, echo: Echo) -> None:
    """When the agent stops, runs are answered with action_crashed; those that wait never start."""
    with (
        ThreadedAgent(registry, limits=Limits(max_running=1, max_queue=2), executor=echo) as agent,
        client_of(agent) as http,
        ThreadPoolExecutor() as pool,
    ):
        create(http, "ocr")
        first = pool.submit(wait, http, "a")
        until(lambda: echo.waiting)
        runs: list[Future[Any]] = [pool.submit(wait, http, job) for job in "bcd"]
        refused = next(as_completed(runs))  # so the other two wait by now
        agent.stop()
        answers = [run.result() for run in (first, *runs) if run is not refused]
    assert refused.result().status_code == 429
    assert [answer.json()["error_type"] for answer in answers] == ["action_crashed"] * 3
    assert echo.started() == ["a"]
    assert echo.calls == ["start", "stop"]
