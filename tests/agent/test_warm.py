"""Processes that are kept between the runs of a release."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits, jobs, processes
from synapse_local_agent.local import LocalExecutor
from synapse_local_agent.runs import Run

from tests.agent.helpers import (
    client_of,
    create,
    detail,
    is_alive,
    process_in,
    result_of,
    run_source,
    runs_of,
    until,
    write_plugin,
    write_waiting_plugin,
)
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import httpx
    from synapse_local_agent.executor import Outcome

COUNTING = """
import os
CALLS = []

def run(params):
    CALLS.append(1)
    return [os.getpid(), len(CALLS)]
"""


def run(http: httpx.Client, release: int = 1, params: dict[str, Any] | None = None) -> Any:
    """The result of the action `run` of a release."""
    response = http.post(f"/plugin_releases/{release}/run/", json={"action": "run", "params": params or {}})
    return result_of(response)


def test_next_run_of_a_release_has_the_same_process(own_http: httpx.Client, registry: Path) -> None:
    """Runs of a release one after the other share a process, with what it has loaded."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    create(own_http, "ocr")
    first, second, third = (run(own_http) for _ in range(3))
    assert first[0] == second[0] == third[0]
    assert [first[1], second[1], third[1]] == [1, 2, 3]


def test_releases_do_not_share_processes(own_http: httpx.Client, registry: Path) -> None:
    """Each release has processes of its own, so that none sees the modules of another."""
    for code in ("one", "two"):
        write_plugin(registry, code, {"plugin.py": COUNTING})
        create(own_http, code)
    assert run(own_http, 1)[0] != run(own_http, 2)[0]
    assert run(own_http, 1)[1] == run(own_http, 2)[1] == 2


def test_runs_at_the_same_time_have_a_process_each(registry: Path, tmp_path: Path) -> None:
    """A process runs one action at a time: runs of one release that meet have several, and all of them are kept."""
    source = "import os, pathlib, time\ndef run(params):\n    folder = pathlib.Path(params['folder'])\n"
    source += "    folder.joinpath(str(os.getpid())).touch()\n"
    source += "    while len(list(folder.iterdir())) < 3: time.sleep(0.01)\n    return os.getpid()"
    write_plugin(registry, "ocr", {"plugin.py": source})
    limits = Limits(max_running=3)
    with ThreadedAgent(registry, limits=limits) as agent, client_of(agent) as http, ThreadPoolExecutor(3) as pool:
        create(http, "ocr")
        rounds = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            runs = [pool.submit(run, http, 1, {"folder": str(tmp_path / name)}) for _ in range(3)]
            rounds.append({future.result() for future in runs})
    assert len(rounds[0]) == 3
    assert rounds[0] == rounds[1]


def test_debug_runs_have_a_new_process_each(http: httpx.Client) -> None:
    """A debug run shares its process with no other run, so that it sees the sources as they are."""
    first, second = (result_of(run_source(http, COUNTING)) for _ in range(2))
    assert first[0] != second[0]
    assert (first[1], second[1]) == (1, 1)


def test_process_ends_after_its_idle_limit(registry: Path) -> None:
    """A process that has no run for as long as the idle limit ends, and the next run has a new one."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    with ThreadedAgent(registry, limits=Limits(idle_limit=0.05)) as agent, client_of(agent) as http:
        create(http, "ocr")
        process, _ = run(http)
        until(lambda: not is_alive(process))
        assert run(http)[1] == 1


def test_no_process_is_kept_without_idle_limit(registry: Path) -> None:
    """With an idle limit of 0, every run has a new process."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    with ThreadedAgent(registry, limits=Limits(idle_limit=0)) as agent, client_of(agent) as http:
        create(http, "ocr")
        assert [run(http)[1] for _ in range(2)] == [1, 1]


def test_process_used_least_lately_goes_first(registry: Path) -> None:
    """Where more processes wait than are kept, the one whose last run is longest ago ends."""
    for code in ("one", "two", "three"):
        write_plugin(registry, code, {"plugin.py": COUNTING})
    with ThreadedAgent(registry, limits=Limits(max_idle=2)) as agent, client_of(agent) as http:
        for code in ("one", "two", "three"):
            create(http, code)
        one, two = run(http, 1)[0], run(http, 2)[0]
        assert run(http, 1)[0] == one
        three = run(http, 3)[0]
        until(lambda: not is_alive(two))
        assert [run(http, 1)[0], run(http, 3)[0]] == [one, three]


def test_process_that_died_waiting_is_replaced(own_http: httpx.Client, registry: Path) -> None:
    """A process that was killed while it waited is replaced, also while nothing shows yet that it is dead."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING.replace("len(CALLS)", "len(CALLS), os.getppid()")})
    create(own_http, "ocr")
    with ThreadPoolExecutor() as pool:
        process, _, guard = run(own_http)
        os.kill(guard, signal.SIGSTOP)  # it holds the socket open, so that the agent offers the job to a dead process
        os.kill(process, signal.SIGKILL)
        call = pool.submit(run, own_http)
        until(lambda: not is_alive(process))
        os.kill(guard, signal.SIGCONT)
        assert call.result()[1] == 1


def test_processes_that_always_die_are_given_up(registry: Path, tmp_path: Path) -> None:
    """Where every new process dies before the action begins, the answer is a 503, and nothing is recorded."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.exit(7)")
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        create(http, "ocr")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processes, "WORKER", broken)
            response = http.post("/plugin_releases/1/run/", json={"action": "run"})
        assert response.status_code == 503
        assert "before the action began, last with exit code 7" in detail(response)
        assert runs_of(tmp_path / "data") == []
        assert list((tmp_path / "data" / "runs").iterdir()) == []
        assert run(http)[1] == 1


def test_nothing_runs_before_its_start_is_recorded(tmp_path: Path) -> None:
    """A process, new or kept, does nothing while the start is being recorded, and nothing at all if that fails."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "plugin.py").write_text("import pathlib\ndef run(params): pathlib.Path(params['mark']).touch()")
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}}

    async def main() -> None:
        executor = LocalExecutor(tmp_path, dict(os.environ), Limits())
        await executor.start()

        async def run(name: str, on_start: Callable[[], Awaitable[None]]) -> Outcome:
            body = {"action": "run", "params": {"mark": str(marks / name)}}
            job = jobs.job(body, config, tmp_path, digest="digest")
            return await executor.run(job, Run.of(name, tmp_path), on_start)

        async def succeed() -> None:
            await asyncio.sleep(0.05)  # an action that does not wait for the word has done its work by now
            seen.append(sorted(path.name for path in marks.iterdir()))

        async def fail() -> None:
            raise RuntimeError

        seen: list[list[str]] = []
        for name in ("new", "kept"):
            assert (await run(name, succeed)).error_type is None
        assert seen == [[], ["new"]]
        with pytest.raises(RuntimeError):
            await run("unrecorded", fail)
        await executor.stop()

    asyncio.run(main())
    assert sorted(path.name for path in marks.iterdir()) == ["kept", "new"]


FORGED = """
import os, stat
import synapse_worker.work as work

def channel():
    for fd in range(3, 10_000):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                return fd
        except OSError:  # it is not open
            pass

def forge(number):
    result = b'"forged"'
    message = work.SIGNAL.pack(b"R", number) + work.ANSWER.pack(number, True, True, len(result)) + result
    os.write(channel(), message)

def now(params):
    forge(1)
    return os.getpid()

def later(params):
    redirect = work.redirect
    work.redirect = lambda log: (redirect(log), forge(1))
    return os.getpid()

def run(params):
    return os.getpid()
"""


def test_no_run_gets_the_result_of_another(own_http: httpx.Client, registry: Path) -> None:
    """Bytes that an action leaves on the way to the agent end its process, and are nobody's result."""
    actions = {name: f"plugin:{name}" for name in ("run", "now", "later")}
    write_plugin(registry, "ocr", {"plugin.py": FORGED}, actions)
    create(own_http, "ocr")
    response = own_http.post("/plugin_releases/1/run/", json={"action": "now"})
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    spoilt = result_of(own_http.post("/plugin_releases/1/run/", json={"action": "later"}))
    assert run(own_http) not in {spoilt, "forged"}


def test_deleted_release_has_no_process(own_http: httpx.Client, registry: Path) -> None:
    """The processes that were kept for a release end when it is deleted."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    create(own_http, "ocr")
    process, _ = run(own_http)
    assert own_http.delete("/plugin_releases/1").status_code == 204
    until(lambda: not is_alive(process))


def test_release_that_is_deleted_during_its_run(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A run whose release is deleted comes to its result, and its process is not kept."""
    write_waiting_plugin(registry)
    create(own_http, "waiting")
    params = {"started": str(tmp_path / "started"), "go": str(tmp_path / "go")}
    with ThreadPoolExecutor() as pool:
        call = pool.submit(own_http.post, "/plugin_releases/1/run/", json={"action": "wait", "params": params})
        process = process_in(tmp_path / "started")
        assert own_http.delete("/plugin_releases/1").status_code == 204
        (tmp_path / "go").touch()
        assert result_of(call.result()) == "late"
    until(lambda: not is_alive(process))


LEFT = {
    "child": "subprocess.Popen(['sleep', '60'])",
    "child in a session of its own": "subprocess.Popen(['sleep', '60'], start_new_session=True, env={})",
    "orphan": "subprocess.run('sleep 60 >/dev/null 2>&1 &', shell=True)",
    "daemon": "subprocess.run('setsid sleep 60 >/dev/null 2>&1 &', shell=True, env={})",
    "thread": "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    "exit": "sys.exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "memory": "raise MemoryError",
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_process_is_not_used_again_after(own_http: httpx.Client, registry: Path, left: str) -> None:
    """A process in which an action left something behind ends with its run, and the next run has a new one."""
    source = f"import subprocess, sys, threading, time\n{COUNTING}\ndef leave(params):\n    {left}\n"
    write_plugin(registry, "ocr", {"plugin.py": source}, {"run": "plugin:run", "leave": "plugin:leave"})
    create(own_http, "ocr")
    process, _ = run(own_http)
    own_http.post("/plugin_releases/1/run/", json={"action": "leave"})
    until(lambda: not is_alive(process))
    assert run(own_http)[1] == 1


def test_process_is_used_again_after_a_failure(own_http: httpx.Client, registry: Path) -> None:
    """An action that raises leaves its process as it is: what took long to load need not be loaded again."""
    source = f"{COUNTING}\ndef fail(params): raise ValueError\ndef no_json(params): return {{1}}"
    actions = {name: f"plugin:{name}" for name in ("run", "fail", "no_json")}
    write_plugin(registry, "ocr", {"plugin.py": source}, actions)
    create(own_http, "ocr")
    process, _ = run(own_http)
    for action in ("fail", "no_json"):
        assert own_http.post("/plugin_releases/1/run/", json={"action": action}).status_code == 500
    assert run(own_http) == [process, 2]


def test_run_does_not_see_what_the_one_before_did(own_http: httpx.Client, registry: Path) -> None:
    """Environment variables, folder, alarms, streams and logger are new for each run, also in a process that is not."""
    source = """
import os, signal, sys

def spoil(params, context):
    os.environ["LEFT"] = "x"
    del os.environ["PATH"]
    os.chdir("/")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    print("first")
    sys.stdout.close()
    sys.stderr = None
    return os.getpid()

def look(params, context):
    import time
    time.sleep(0.06)
    print("second")
    context.logger.info("logged")
    return [os.getpid(), "LEFT" in os.environ, "PATH" in os.environ, context.work_dir.samefile(os.getcwd())]
"""
    write_plugin(registry, "ocr", {"plugin.py": source}, {"spoil": "plugin:spoil", "look": "plugin:look"})
    create(own_http, "ocr")
    process = result_of(own_http.post("/plugin_releases/1/run/", json={"action": "spoil"}))
    result = result_of(own_http.post("/plugin_releases/1/run/", json={"action": "look"}))
    assert result == [process, False, True, True]


LEAVING = """
import os, shutil

def run(params, context):
    found = [os.listdir(), context.work_dir.stat().st_mode & 0o777, context.work_dir.samefile("."), os.getpid()]
    exec(params["then"])
    return found
"""
THEN = {
    "a file": "open('left', 'w').close()",
    "a file beside it": "(context.work_dir.parent / 'left').touch()",
    "a mode": "context.work_dir.chmod(0o500)",
    "no folder": "context.work_dir.rmdir()",
    "nothing at all": "shutil.rmtree(context.work_dir.parent)",
    "a line": "print('line')",
}


@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_work_dir_of_a_kept_process_is_as_new(
    own_http: httpx.Client, registry: Path, tmp_path: Path, then: str
) -> None:
    """A run finds its work_dir empty and its own, whatever the run before it in the same process made of it."""
    write_plugin(registry, "ocr", {"plugin.py": LEAVING})
    create(own_http, "ocr")
    found = [run(own_http, params={"then": then}) for then in ("", then, "", "")]
    assert found == [[[], 0o700, True, found[0][3]]] * 4
    assert not list(tmp_path.glob("data/runs/*/work"))


def test_folders_of_kept_processes_go_with_them(registry: Path, tmp_path: Path) -> None:
    """The folder that a process keeps is gone once it has ended, and one whose agent was killed at the next start."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    (tmp_path / "data" / "spare" / "left" / "work").mkdir(parents=True)
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        assert list((tmp_path / "data" / "spare").iterdir()) == []
        create(http, "ocr")
        run(http)
        assert len(list((tmp_path / "data" / "spare").iterdir())) == 1
    assert list((tmp_path / "data" / "spare").iterdir()) == []


def test_each_run_has_a_log_of_its_own(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """What a run prints is in its own log, also where its process had others before, and nothing is in two."""
    source = "import subprocess\ndef run(params):\n    print(params['n'])\n    subprocess.run(['echo', params['n']])"
    write_plugin(registry, "ocr", {"plugin.py": source})
    create(own_http, "ocr")
    for number in ("one", "two"):
        run(own_http, params={"n": number})
    logs = [path.read_text() for path in tmp_path.glob("data/runs/*/log")]
    assert sorted(logs) == ["one\none\n", "two\ntwo\n"]
