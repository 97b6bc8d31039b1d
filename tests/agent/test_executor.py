"""The executor interface, the maximum number of running actions, and the queue."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.errors import UnavailableError
from synapse_local_agent.runs.model import Job, Outcome

from tests.agent.helpers import client_of, create, detail, result_of, runs_of, until, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import httpx
    from synapse_local_agent.runs.executor import Executor, OnStart
    from synapse_local_agent.runs.model import Run

pytestmark = pytest.mark.contract
RUN = "/plugin_releases/1/run/"


class Echo:
    """An in-process executor that returns the params; `wait` waits until its job is released."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.jobs: list[Job] = []
        self.free: set[str | None] = set()
        self.ended: dict[str, Outcome] = {}

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> Executor:
        """The executor of an agent."""
        del data, variables, limits
        return self

    async def start(self) -> None:
        """Record the call."""
        self.calls.append("start")

    async def run(self, job: Job, run: Run, on_start: OnStart) -> Outcome:
        """Return the params."""
        self.jobs.append(job)
        if job.action == "render":
            msg = "The run asks for 1 GPU, and none of the 3 nodes has one."
            raise UnavailableError(msg, "gpu_unavailable")
        await on_start()
        while job.action == "wait" and job.job_id not in self.free and run.name not in self.ended:  # noqa: ASYNC110 - sets have no events
            await asyncio.sleep(0.01)
        return self.ended.get(run.name, Outcome(job.params))

    def started(self) -> list[str]:
        """The jobs of the started runs."""
        return sorted(job.job_id or "" for job in self.jobs)

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a waiting run."""
        self.ended[name] = outcome

    def forget(self, digest: str) -> None:
        """Record the call."""
        self.calls.append(f"forget {digest}")

    async def stop(self) -> None:
        """Record the call."""
        self.calls.append("stop")


@contextmanager
def agent_on(
    executor: Echo, registry: Path, data: Path | None = None, **limits: float
) -> Iterator[tuple[ThreadedAgent, httpx.Client, ThreadPoolExecutor]]:
    """An agent on an executor, with a release, a client and threads to call it from."""
    actions = dict.fromkeys(("echo", "wait", "render"), "plugin:run")
    write_plugin(registry, "ocr", {"plugin.py": "", "requirements.txt": "washer>=1"}, actions)
    bounds: dict[str, Any] = limits
    agent = ThreadedAgent(registry, data=data, limits=Limits(**bounds), executor=executor)
    with agent, client_of(agent) as http, ThreadPoolExecutor() as pool:
        create(http, "ocr")
        yield agent, http, pool


def wait(http: httpx.Client, job: str, key: str | None = None) -> httpx.Response:
    """Run a job that waits to be released."""
    body = {"action": "wait", "params": {"job": job}, "job_id": job}
    return http.post(RUN, json=body, headers={"Idempotency-Key": key} if key else {})


def test_executor_is_given_the_job_whole(registry: Path, tmp_path: Path) -> None:
    """An executor gets the inputs and requirements of the action, and the digest of a release."""
    body = {"action": "echo", "params": {"a": "문서"}, "job_id": "7", "requirements": ["dryer"], "language": "ko"}
    echo = Echo()
    with agent_on(echo, registry, tmp_path / "data") as (_, http, _):
        assert result_of(http.post(RUN, json=body)) == {"a": "문서"}
        http.delete("/plugin_releases/1")
    (job,) = echo.jobs
    assert (job.plugin, job.version, job.action, job.entrypoint) == ("ocr", "1.0.0", "echo", "plugin:run")
    assert (job.job_id, job.language, list(map(str, job.requirements))) == ("7", "ko", ["dryer", "washer>=1"])
    assert json.loads(job.params) == {"a": "문서"}
    assert job.sources is not None
    assert job.sources.name == job.digest
    assert (echo.calls[0], f"forget {job.digest}" in echo.calls, echo.calls[-1]) == ("start", True, "stop")
    assert [run["outcome"] for run in runs_of(tmp_path / "data")] == ["succeeded"]


def test_what_no_machine_can_take_is_unavailable(registry: Path, tmp_path: Path) -> None:
    """A job that the executor cannot take is 503 with the kind and detail; its key can be used again."""
    headers = {"Idempotency-Key": str(uuid4())}
    echo = Echo()
    with agent_on(echo, registry, tmp_path / "data") as (_, http, _):
        for _ in range(2):
            response = http.post(RUN, json={"action": "render"}, headers=headers)
            assert (response.status_code, response.json()["error_type"]) == (503, "gpu_unavailable")
            assert "none of the 3 nodes" in detail(response)
    assert (len(echo.jobs), runs_of(tmp_path / "data")) == (2, [])


def test_executor_that_cannot_start(registry: Path) -> None:
    """If the executor does not start, neither does the agent, and the error gives the reason."""

    class Broken(Echo):
        async def start(self) -> None:
            msg = "there is no cluster"
            raise OSError(msg)

    with pytest.raises(RuntimeError, match="did not start: there is no cluster"):
        ThreadedAgent(registry, executor=Broken()).start()


def test_runs_beyond_the_limit_wait_or_are_refused(registry: Path) -> None:
    """Two run at a time, one waits, and the next is 429 with Retry-After and is not remembered."""
    echo = Echo()
    with agent_on(echo, registry, max_running=2, max_queue=1) as (_, http, pool):
        first = [pool.submit(wait, http, job) for job in "ab"]
        until(lambda: echo.started() == ["a", "b"])
        keys = {"c": str(uuid4()), "d": str(uuid4())}
        runs = {pool.submit(wait, http, job, key): job for job, key in keys.items()}
        refused = next(as_completed(runs))  # so by now the other one waits
        (other,) = set(runs) - {refused}
        assert (refused.result().status_code, "--max-queue" in detail(refused.result())) == (429, True)
        assert int(refused.result().headers["Retry-After"]) > 0
        assert http.get("/health/").status_code == 200
        assert echo.started() == ["a", "b"]
        echo.free.add("b")
        until(lambda: echo.started() == ["a", "b", runs[other]])
        echo.free.update("acd")
        assert [result_of(run.result())["job"] for run in (*first, other)] == ["a", "b", runs[other]]
        assert result_of(wait(http, runs[refused], keys[runs[refused]])) == {"job": runs[refused]}


def test_stop_answers_those_that_run_and_wait(registry: Path) -> None:
    """When the agent stops, runs get action_crashed; waiting ones never start."""
    echo = Echo()
    with agent_on(echo, registry, max_running=1, max_queue=2) as (agent, http, pool):
        first = pool.submit(wait, http, "a")
        until(echo.started)
        runs = [pool.submit(wait, http, job) for job in "bcd"]
        refused = next(as_completed(runs))  # so by now the other two wait
        agent.stop()
        answers = [run.result() for run in (first, *runs) if run is not refused]
    assert refused.result().status_code == 429
    assert [answer.json()["error_type"] for answer in answers] == ["action_crashed"] * 3
    assert (echo.started(), echo.calls) == (["a"], ["start", "stop"])
