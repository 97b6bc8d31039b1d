"""Idempotency keys: a request is carried out once, and a repeat gets the first response."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from synapse_local_agent import Limits
from synapse_local_agent.processes.monitor import processes

from tests.agent.helpers import client_at, client_of, create, detail, result_of, run_source, until, url_of, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.conftest import Serve

pytestmark = pytest.mark.contract
RUN = "/plugin_releases/1/run/"
DEBUG = "/plugin_releases/run_debug/"
COUNTING = """
import os, pathlib, time

def run(params):
    with open(params["file"], "a") as file:
        file.write("x")
    exec(params.get("then", ""))
    return {"calls": len(pathlib.Path(params["file"]).read_text())}
"""
NEVER = "time.sleep(600)"


@pytest.fixture
def counting(own_http: httpx.Client, registry: Path) -> httpx.Client:
    """A client of an agent whose release 1 counts its calls in a file."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    create(own_http, "ocr")
    return own_http


def body_of(file: Path, then: str = "") -> dict[str, Any]:
    """The body of a run that counts its calls in a file, and then runs a statement."""
    return {"action": "run", "params": {"file": str(file), "then": then}}


def run(http: httpx.Client, key: str | None, file: Path, then: str = "") -> httpx.Response:
    """Run the counting action with a key."""
    return http.post(RUN, json=body_of(file, then), headers={} if key is None else {"Idempotency-Key": key})


def test_repeat_has_the_first_answer(counting: httpx.Client, tmp_path: Path) -> None:
    """The same key and JSON, in any notation, run an action once, even if it fails; other requests run."""
    key = str(uuid4())
    first, second = (run(counting, key, tmp_path / "calls") for _ in range(2))
    assert (first.status_code, first.json()) == (200, {"calls": 1})
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["content-type"] == first.headers["content-type"]
    content = f'{{"params":{{"then":"", "file":"{tmp_path}/calls"}}, "action":"run"}}'
    headers = {"Idempotency-Key": key.upper(), "Content-Type": "application/json"}
    assert result_of(counting.post(RUN, content=content, headers=headers)) == {"calls": 1}
    for number, other in enumerate((None, None, str(uuid4()), str(uuid4())), 2):
        assert result_of(run(counting, other, tmp_path / "calls")) == {"calls": number}
    for number, then in enumerate(("raise ValueError('no')", "os._exit(3)"), 6):
        key = str(uuid4())
        first, second = (run(counting, key, tmp_path / "calls", then) for _ in range(2))
        assert (first.status_code, second.status_code, second.json()) == (500, 500, first.json())
        assert (tmp_path / "calls").read_text() == "x" * number
    config, headers = {"actions": {"run": {"entrypoint": "plugin:run"}}}, {"Idempotency-Key": str(uuid4())}
    body = {**body_of(tmp_path / "debugged"), "config": config, "modules": {"plugin": COUNTING}}
    for _ in range(2):
        assert result_of(counting.post(DEBUG, json=body, headers=headers)) == {"calls": 1}


def test_key_of_another_call_is_refused(counting: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A key that was used with another body, release or operation is 422 and named, and nothing runs."""
    key, body = str(uuid4()), body_of(tmp_path / "calls")
    run(counting, key, tmp_path / "calls")
    write_plugin(registry, "other", {"plugin.py": COUNTING})
    create(counting, "other")
    for path, other in ((RUN, {**body, "job_id": "other"}), ("/plugin_releases/2/run/", body), (DEBUG, body)):
        response = counting.post(path, json=other, headers={"Idempotency-Key": key})
        assert (response.status_code, key in detail(response)) == (422, True)
    assert (tmp_path / "calls").read_text() == "x"


def test_repeats_wait_for_a_run_whose_caller_went_away(
    own_agent: ThreadedAgent, counting: httpx.Client, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Callers that disconnect, during the run or within the body, affect nobody; repeats wait for the one run."""
    key, calls = str(uuid4()), tmp_path / "calls"
    then = f"while not os.path.exists('{tmp_path}/go'): time.sleep(0.01)"
    content = json.dumps(body_of(calls, then)).encode()
    headers = {"Idempotency-Key": key, "Authorization": own_agent.token, "Content-Type": "application/json"}
    for sent in (content, content, content[:9]):
        with closing(HTTPConnection(own_agent.url.removeprefix("http://"))) as leaving:
            leaving.request("POST", RUN, sent, {**headers, "Content-Length": str(len(content))})
            until(calls.exists)
    assert result_of(run_source(counting, "def run(params): return 1")) == 1
    with ThreadPoolExecutor() as pool:
        repeats = [pool.submit(run, counting, key, calls, then) for _ in range(3)]
        assert run(counting, key, calls).status_code == 422  # another body
        assert not any(repeat.done() for repeat in repeats)
        (tmp_path / "go").touch()
        assert [result_of(repeat.result()) for repeat in repeats] == [{"calls": 1}] * 3
    assert capfd.readouterr() == ("", "")


def test_what_was_refused_before_the_run_is_not_remembered(
    own_http: httpx.Client, registry: Path, tmp_path: Path
) -> None:
    """A request that never started a run can be repeated after a fix; its response outlives the release."""
    key = str(uuid4())
    assert run(own_http, key, tmp_path / "calls").status_code == 404
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    create(own_http, "ocr")
    assert result_of(run(own_http, key, tmp_path / "calls")) == {"calls": 1}
    assert own_http.delete("/plugin_releases/1").status_code == 204
    assert result_of(run(own_http, key, tmp_path / "calls")) == {"calls": 1}


def test_answer_is_kept_for_its_time(registry: Path, tmp_path: Path) -> None:
    """A restarted agent returns the first response for a key, even of a stopped run, until it expires."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    key, stopped, data = str(uuid4()), str(uuid4()), tmp_path / "data"
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http, ThreadPoolExecutor() as pool:
        create(http, "ocr")
        assert result_of(run(http, key, tmp_path / "calls")) == {"calls": 1}
        call = pool.submit(run, http, stopped, tmp_path / "stopped", NEVER)
        until((tmp_path / "stopped").exists)
        agent.stop()
        answer = call.result().json()
    assert answer["error_type"] == "action_crashed"
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        assert result_of(run(http, key, tmp_path / "calls")) == {"calls": 1}
        assert run(http, stopped, tmp_path / "stopped", NEVER).json() == answer
    limits = Limits(keep_answers=0.05, sweep_interval=0.02)
    with ThreadedAgent(registry, data=data, limits=limits) as agent, client_of(agent) as http:
        until(lambda: run(http, key, tmp_path / "calls").json() == {"calls": 2})


def test_keys_of_an_agent_that_was_killed(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """A key whose run was active when the agent was killed never runs again; one that had not started does."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    options = ("--data", tmp_path / "data", "--max-running", "1", "--max-queue", "1")
    agent_process = serve(*options, SYNAPSE_AGENT_TOKEN="token")
    begun, *keys = (str(uuid4()) for _ in range(3))
    with client_at(url_of(agent_process), "token") as http, ThreadPoolExecutor(3) as pool:
        create(http, "ocr")
        lost = pool.submit(run, http, begun, tmp_path / begun, NEVER)
        until((tmp_path / begun).exists)
        calls = {pool.submit(run, http, key, tmp_path / key): key for key in keys}
        refused = next(as_completed(calls))  # with 429, so by now the other one waits
        agent_process.kill()
        agent_process.wait()
        (waiting,) = set(calls) - {refused}
        for call in (lost, waiting):
            assert isinstance(call.exception(), httpx.TransportError)
    assert refused.result().status_code == 429
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        for _ in range(2):
            response = run(http, begun, tmp_path / begun, NEVER)
            assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
            assert "new key" in detail(response)
        assert run(http, begun, tmp_path / begun).status_code == 422  # another body
        assert result_of(run(http, calls[waiting], tmp_path / calls[waiting])) == {"calls": 1}
    assert (tmp_path / begun).read_text() == "x"


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_five_thousand_runs_of_two_hundred_clients(registry: Path, tmp_path: Path) -> None:
    """Of 5,000 runs by 200 clients, a third of them sent twice with one key, none is lost or repeated."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    memory = []

    def results(http: httpx.Client, number: int) -> list[Any]:
        key, then = str(uuid4()), f"open(params['file'], 'a').write('x' * {number})"
        return [result_of(run(http, key, tmp_path / str(number), then)) for _ in range(1 if number % 3 else 2)]

    with ThreadedAgent(registry) as agent, ExitStack() as stack, ThreadPoolExecutor(200) as pool:
        clients = [stack.enter_context(client_of(agent)) for _ in range(200)]
        create(clients[0], "ocr")
        for client in clients:
            client.event_hooks = {}
        for first in range(0, 5000, 1000):
            numbers = range(first, first + 1000)
            for number, answers in zip(numbers, pool.map(results, clients * 5, numbers), strict=True):
                assert answers == [{"calls": 1 + number}] * len(answers)
            memory.append(processes()[os.getpid()].memory)  # of this process, which contains the agent
    assert memory[-1] - memory[1] < 20 * 2**20, memory
