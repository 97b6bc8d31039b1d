"""Processes that are reused between the runs of a release."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes import workers as processes
from synapse_local_agent.processes.executor import LocalExecutor
from synapse_local_agent.runs.model import Run
from synapse_local_agent.web import job_requests as jobs

from tests.agent import helpers
from tests.agent.helpers import client_of, group_of, is_alive, publish, result_of, run_source, until, waiting_run
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    from synapse_local_agent.runs.model import Outcome

COUNTING = """
import os
CALLS = []

def run(params):
    CALLS.append(1)
    return [os.getpid(), len(CALLS)]
"""


def run(http: httpx.Client, release: int = 1, params: dict[str, Any] | None = None, action: str = "run") -> Any:
    """The result of an action of a release."""
    return result_of(helpers.run(http, action, params, release))


def test_runs_of_a_release_share_a_process(own_http: httpx.Client, registry: Path) -> None:
    """Consecutive runs share a process and its modules, even after a failure, until the release is deleted."""
    source = f"{COUNTING}\ndef fail(params): raise ValueError\ndef no_json(params): return {{1}}"
    publish(own_http, registry, source, ("run", "fail", "no_json"))
    publish(own_http, registry, COUNTING, code="other")
    process, count = run(own_http)
    assert count == 1
    for action in ("fail", "no_json"):
        assert helpers.run(own_http, action).status_code == 500
    other, count = run(own_http, 2)
    assert (other != process, count) == (True, 1)
    assert [run(own_http), run(own_http, 2)] == [[process, 2], [other, 2]]
    debug = [result_of(run_source(own_http, COUNTING)) for _ in range(2)]
    assert len({process, other, *(number for number, _ in debug)}) == 4
    assert [count for _, count in debug] == [1, 1]
    assert own_http.delete("/plugin_releases/1").status_code == 204
    until(lambda: not is_alive(process))
    assert run(own_http, 2) == [other, 3]


def test_runs_at_the_same_time_have_a_process_each(registry: Path, tmp_path: Path) -> None:
    """A process runs one action at a time: concurrent runs of a release use several, and all are kept."""
    rounds = []
    with ThreadedAgent(registry, limits=Limits(max_running=2)) as agent, client_of(agent) as http:
        for number in range(2):
            one, two = folders = [tmp_path / f"{number}{name}" for name in ("one", "two")]
            for folder in folders:
                folder.mkdir()
            with waiting_run(http, registry, one) as (first, _), waiting_run(http, registry, two) as (second, _):
                for folder in folders:
                    (folder / "go").touch()
            rounds.append({first, second})
    assert len(rounds[0]) == 2
    assert rounds[0] == rounds[1]


def test_process_ends_after_its_idle_limit(registry: Path) -> None:
    """A process ends after the idle limit; with a limit of 0, every run has a new one."""
    with ThreadedAgent(registry, limits=Limits(idle_limit=0.05)) as agent, client_of(agent) as http:
        publish(http, registry, COUNTING)
        process, _ = run(http)
        until(lambda: not is_alive(process))
        assert run(http)[1] == 1
    with ThreadedAgent(registry, limits=Limits(idle_limit=0)) as agent, client_of(agent) as http:
        publish(http, registry, COUNTING)
        assert [run(http)[1] for _ in range(2)] == [1, 1]


def test_process_used_least_lately_goes_first(registry: Path) -> None:
    """If there are too many idle processes, the least recently used one ends."""
    with ThreadedAgent(registry, limits=Limits(max_idle=2)) as agent, client_of(agent) as http:
        for code in ("one", "two", "three"):
            publish(http, registry, COUNTING, code=code)
        one, two = run(http, 1)[0], run(http, 2)[0]
        assert run(http, 1)[0] == one
        three = run(http, 3)[0]
        until(lambda: not is_alive(two))
        assert [run(http, 1)[0], run(http, 3)[0]] == [one, three]


def test_process_that_died_waiting_is_replaced(own_http: httpx.Client, registry: Path) -> None:
    """An idle process that was killed is replaced, even if nothing shows yet that it is dead."""
    publish(own_http, registry, COUNTING.replace("len(CALLS)", "len(CALLS), os.getppid()"))
    with ThreadPoolExecutor() as pool:
        process, _, guard = run(own_http)
        os.kill(guard, signal.SIGSTOP)  # it holds the socket open, so the agent offers the job to a dead process
        os.kill(process, signal.SIGKILL)
        call = pool.submit(run, own_http)
        until(lambda: not is_alive(process))
        os.kill(guard, signal.SIGCONT)
        assert call.result()[1] == 1


def test_processes_that_always_die_are_given_up(registry: Path, tmp_path: Path) -> None:
    """If every new process dies before the action begins, the response is a 503, and nothing is recorded."""
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.exit(7)")
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        publish(http, registry, COUNTING)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processes, "WORKER", broken)
            response = helpers.run(http)
        assert response.status_code == 503
        assert "before the action began, last with exit code 7" in helpers.detail(response)
        assert helpers.runs_of(tmp_path / "data") == []
        assert list((tmp_path / "data" / "runs").iterdir()) == []
        assert run(http)[1] == 1


def test_nothing_runs_before_its_start_is_recorded(tmp_path: Path) -> None:
    """A process, new or reused, does nothing while the start is being recorded, and nothing if that fails."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "plugin.py").write_text("import pathlib\ndef run(params): pathlib.Path(params['mark']).touch()")
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}}

    async def main() -> None:
        executor = LocalExecutor(tmp_path, dict(os.environ), Limits())
        await executor.start()

        async def on_start() -> None:
            await asyncio.sleep(0.05)  # enough time for an action that does not wait for go
            seen.append(sorted(path.name for path in marks.iterdir()))
            if len(seen) == 3:
                raise RuntimeError

        async def run(name: str) -> Outcome:
            job = jobs.job({"action": "run", "params": {"mark": str(marks / name)}}, config, tmp_path, digest="digest")
            return await executor.run(job, Run.of(name, tmp_path), on_start)

        seen: list[list[str]] = []
        assert [(await run(name)).error_type for name in ("new", "kept")] == [None, None]
        with pytest.raises(RuntimeError):
            await run("unrecorded")
        assert seen == [[], ["new"], ["kept", "new"]]
        await executor.stop()

    asyncio.run(main())
    assert sorted(path.name for path in marks.iterdir()) == ["kept", "new"]


FORGED = """
import contextlib, os, stat
import synapse_worker.work as work

def forge():
    result = b'"forged"'
    message = work.SIGNAL.pack(b"R", 1) + work.ANSWER.pack(1, True, True, len(result)) + result
    for fd in range(3, 1000):
        with contextlib.suppress(OSError):  # not open
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                return os.write(fd, message)

def now(params):
    forge()
    return os.getpid()

def later(params):
    redirect = work.redirect
    work.redirect = lambda log: (redirect(log), forge())
    return os.getpid()

def run(params):
    return os.getpid()
"""


def test_no_run_gets_the_result_of_another(own_http: httpx.Client, registry: Path) -> None:
    """Bytes that an action writes to the agent's socket end its process, and are never a result."""
    publish(own_http, registry, FORGED, ("run", "now", "later"))
    assert helpers.run(own_http, "now").json()["error_type"] == "action_crashed"
    spoilt = run(own_http, action="later")
    assert run(own_http) not in {spoilt, "forged"}


LEFT = {
    "child in a session of its own": "subprocess.Popen(['sleep', '600'], start_new_session=True, env={})",
    "child that Python waits for": "get_context('spawn').Process(target=time.sleep, args=(600,)).start()",
    "daemon": "subprocess.run('setsid sleep 600 >/dev/null 2>&1 &', shell=True, env={})",
    "thread": "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "thread that Python waits for": "threading.Thread(target=time.sleep, args=(600,)).start()",
    "exit": "sys.exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "memory": "raise MemoryError",
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_process_is_not_used_again_after(own_http: httpx.Client, registry: Path, left: str) -> None:
    """A process in which an action left something behind ends at once, and the next run has a new one."""
    source = "import subprocess, sys, threading, time\nfrom multiprocessing import get_context\n"
    source += f"{COUNTING}\ndef leave(params):\n    {left}\n"
    publish(own_http, registry, source, ("run", "leave"))
    process, _ = run(own_http)
    helpers.run(own_http, "leave")
    until(lambda: not group_of(process))
    assert run(own_http)[1] == 1


LOOKING = """
import os, shutil, signal, sys

def run(params, context):
    place = [os.listdir(), context.work_dir.stat().st_mode & 0o777, context.work_dir.samefile(".")]
    found = [context.job_id, context.language, *place, os.environ.get("LEFT"), "PATH" in os.environ]
    found += [signal.getitimer(signal.ITIMER_REAL)[0], os.getpid()]
    exec(params["then"])
    return found
"""
THEN = [
    *("open('left', 'w').close()", "(context.work_dir.parent / 'left').touch()", "context.work_dir.chmod(0o500)"),
    *("context.work_dir.rmdir()", "shutil.rmtree(context.work_dir.parent)", "os.chdir('/')"),
    *("os.environ['LEFT'] = 'x'", "del os.environ['PATH']", "signal.setitimer(signal.ITIMER_REAL, 600)"),
    *("sys.stdout.close()", "sys.stderr = None", "print('line', file=sys.stderr)", "context.logger.info('line')"),
]


def test_run_does_not_see_what_the_one_before_did(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """Folder, environment, alarms, streams and logger are new for each run, whatever the process did before."""
    publish(own_http, registry, LOOKING)
    process = run(own_http, params={"then": ""})[-1]
    fresh = [[], 0o700, True, None, True, 0]
    for then in THEN:
        for what in (then, "print('line')", "", ""):
            assert run(own_http, params={"then": what}) == [None, None, *fresh, process], then
        assert not list(tmp_path.glob("data/runs/*/work"))


def test_folders_of_kept_processes_go_with_them(registry: Path, tmp_path: Path) -> None:
    """The spare folder of a process is removed when it ends, or at the next start if the agent was killed."""
    spare = tmp_path / "data" / "spare"
    (spare / "left" / "work").mkdir(parents=True)
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        assert list(spare.iterdir()) == []
        publish(http, registry, COUNTING)
        run(http)
        assert len(list(spare.iterdir())) == 1
    assert list(spare.iterdir()) == []
