"""What the agent asks of whatever runs its actions, shown with an executor of the tests' own."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.executor import Executor, Job, Outcome, UnavailableError

from tests.agent.helpers import client_of, create, detail, result_of, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from synapse_local_agent.runs import Run

pytestmark = pytest.mark.contract
RUN = "/plugin_releases/1/run/"


class Echo:
    """An executor that answers with the params, without the help of a process: `wait` waits until it is cancelled."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.jobs: list[Job] = []
        self.waiting: dict[str, asyncio.Future[Outcome]] = {}

    def __call__(self, data: Path, variables: Mapping[str, str], limits: Limits) -> Executor:
        """The executor of an agent."""
        del data, variables, limits
        return self

    async def start(self) -> None:
        """Note that it was called."""
        self.calls.append("start")

    async def run(self, job: Job, run: Run, on_start: Callable[[], None]) -> Outcome:
        """Give the params back."""
        self.jobs.append(job)
        if job.action == "render":
            msg = "The run asks for 1 GPU, and none of the 3 nodes has one."
            raise UnavailableError(msg, "gpu_unavailable")
        on_start()
        run.folder.mkdir()
        run.log.write_text("said")
        if job.action == "wait":
            self.waiting[run.name] = asyncio.get_running_loop().create_future()
            return await self.waiting[run.name]
        return Outcome(job.params)

    def cancel(self, name: str, outcome: Outcome) -> None:
        """End a run that waits."""
        self.waiting[name].set_result(outcome)

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
        response = http.post(RUN, json={"action": "wait"})
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
