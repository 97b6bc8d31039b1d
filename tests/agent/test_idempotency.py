"""Idempotency keys: a call is carried out once, and a repeat is answered with the first answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from synapse_local_agent import Limits

from tests.agent.helpers import (
    client_at,
    client_of,
    create,
    detail,
    process_in,
    result_of,
    run_source,
    runs_of,
    until,
    url_of,
    write_plugin,
    write_waiting_plugin,
)
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.agent.conftest import Serve

pytestmark = pytest.mark.contract
RUN = "/plugin_releases/1/run/"
COUNTING = """
import os, pathlib

def run(params):
    with open(params["file"], "a") as file:
        file.write("x")
    exec(params.get("then", ""))
    return {"calls": len(pathlib.Path(params["file"]).read_text())}
"""


@pytest.fixture
def counting(own_http: httpx.Client, registry: Path) -> httpx.Client:
    """A client of an agent whose release 1 counts its calls in a file."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    create(own_http, "ocr")
    return own_http


def run(http: httpx.Client, key: str | None, file: Path, **params: Any) -> httpx.Response:
    """Run the counting action with a key."""
    body = {"action": "run", "params": {"file": str(file), **params}}
    return http.post(RUN, json=body, headers={} if key is None else {"Idempotency-Key": key})


def test_repeat_has_the_first_answer(counting: httpx.Client, tmp_path: Path) -> None:
    """The same key and JSON, however they are written, run the action once, even if it fails; others run."""
    key = str(uuid4())
    first, second = (run(counting, key, tmp_path / "calls") for _ in range(2))
    assert (first.status_code, first.json()) == (200, {"calls": 1})
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["content-type"] == first.headers["content-type"]
    content = f'{{"params":{{"file":"{tmp_path}/calls"}}, "action":"run"}}'
    headers = {"Idempotency-Key": key.upper(), "Content-Type": "application/json"}
    assert result_of(counting.post(RUN, content=content, headers=headers)) == {"calls": 1}
    for number, other in enumerate((None, None, str(uuid4()), str(uuid4())), 2):
        assert result_of(run(counting, other, tmp_path / "calls")) == {"calls": number}
    for number, then in enumerate(("raise ValueError('no')", "os._exit(3)"), 6):
        key = str(uuid4())
        first, second = (run(counting, key, tmp_path / "calls", then=then) for _ in range(2))
        assert (first.status_code, second.status_code, second.json()) == (500, 500, first.json())
        assert (tmp_path / "calls").read_text() == "x" * number


def test_key_of_another_call_is_refused(counting: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A key that came with another body, release or operation is 422 and names the key, and nothing runs."""
    key = str(uuid4())
    run(counting, key, tmp_path / "calls")
    write_plugin(registry, "other", {"plugin.py": COUNTING})
    create(counting, "other")
    body = {"action": "run", "params": {"file": str(tmp_path / "calls")}}
    others = [
        (RUN, {**body, "job_id": "other"}),
        ("/plugin_releases/2/run/", body),
        ("/plugin_releases/run_debug/", body),
    ]
    for path, other in others:
        response = counting.post(path, json=other, headers={"Idempotency-Key": key})
        assert response.status_code == 422
        assert key in detail(response)
    assert (tmp_path / "calls").read_text() == "x"


def test_repeat_waits_while_the_first_runs(own_http: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """A repeat that comes while the first call runs waits for it, another body is refused, and one run it is."""
    write_waiting_plugin(registry)
    create(own_http, "waiting")
    params = {"started": str(tmp_path / "started"), "go": str(tmp_path / "go")}
    body = {"action": "wait", "params": params}
    headers = {"Idempotency-Key": str(uuid4())}
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(own_http.post, RUN, json=body, headers=headers) for _ in range(4)]
        process_in(tmp_path / "started")
        assert own_http.post(RUN, json={**body, "language": "ko"}, headers=headers).status_code == 422
        assert not any(call.done() for call in calls)
        (tmp_path / "go").touch()
        assert [result_of(call.result()) for call in calls] == ["late"] * 4
    assert len(runs_of(tmp_path / "data")) == 1


def test_client_that_went_away_gets_its_answer_later(
    own_agent: ThreadedAgent, own_http: httpx.Client, registry: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A caller that leaves during its run, or halfway through its body, troubles nobody, and asks again by its key."""
    write_waiting_plugin(registry)
    create(own_http, "waiting")
    body = {"action": "wait", "params": {"started": str(tmp_path / "started"), "go": str(tmp_path / "go")}}
    content = json.dumps(body).encode()
    key = {"Idempotency-Key": str(uuid4())}
    headers = {**key, "Authorization": own_agent.token, "Content-Type": "application/json"}
    with closing(HTTPConnection(own_agent.url.removeprefix("http://"))) as leaving:
        leaving.request("POST", RUN, content, headers)
        process_in(tmp_path / "started")
    with closing(HTTPConnection(own_agent.url.removeprefix("http://"))) as leaving:
        leaving.request("POST", RUN, content[:9], {**headers, "Content-Length": str(len(content))})
    assert result_of(run_source(own_http, "def run(params): return 1")) == 1
    (tmp_path / "go").touch()
    assert result_of(own_http.post(RUN, json=body, headers=key)) == "late"
    assert [row["action"] for row in runs_of(tmp_path / "data")].count("wait") == 1
    assert capfd.readouterr() == ("", "")


def test_what_was_refused_before_the_run_is_not_remembered(
    own_http: httpx.Client, registry: Path, tmp_path: Path
) -> None:
    """A call that never came to a run may be repeated once that is mended; the answer outlives its release."""
    key = str(uuid4())
    assert run(own_http, key, tmp_path / "calls").status_code == 404
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    create(own_http, "ocr")
    assert result_of(run(own_http, key, tmp_path / "calls")) == {"calls": 1}
    assert own_http.delete("/plugin_releases/1").status_code == 204
    assert result_of(run(own_http, key, tmp_path / "calls")) == {"calls": 1}


def test_debug_runs_honour_keys_too(http: httpx.Client) -> None:
    """A debug run with a key is carried out once, and a result of some megabytes is answered again whole."""
    headers = {"Idempotency-Key": str(uuid4())}
    config = {"actions": {"run": {"entrypoint": "plugin:run"}}}
    source = "import os\ndef run(params): return os.urandom(2_000_000).hex()"
    body = {"action": "run", "config": config, "modules": {"plugin": source}}
    first, second = (http.post("/plugin_releases/run_debug/", json=body, headers=headers) for _ in range(2))
    assert len(first.content) == 4_000_002
    assert first.content == second.content


def test_answer_is_kept_for_its_time(registry: Path, tmp_path: Path) -> None:
    """An agent that starts on the same data answers a key with the first answer, until its time is over."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    key = str(uuid4())
    for _ in range(2):
        with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
            create(http, "ocr")
            assert result_of(run(http, key, tmp_path / "calls")) == {"calls": 1}
    limits = Limits(keep_answers=0.05, sweep_interval=0.02)
    with ThreadedAgent(registry, data=tmp_path / "data", limits=limits) as agent, client_of(agent) as http:
        until(lambda: run(http, key, tmp_path / "calls").json() == {"calls": 2})


def test_keys_of_an_agent_that_was_killed(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """A key whose run went on when the agent was killed never runs again; one whose run had not begun runs then."""
    write_plugin(registry, "ocr", {"plugin.py": COUNTING})
    options = ("--data", tmp_path / "data", "--max-running", "1", "--max-queue", "1")
    agent_process = serve(*options, SYNAPSE_AGENT_TOKEN="token")
    begun, *keys = (str(uuid4()) for _ in range(3))
    then = "import time; time.sleep(600)"
    with client_at(url_of(agent_process), "token") as http, ThreadPoolExecutor(3) as pool:
        create(http, "ocr")
        lost = pool.submit(run, http, begun, tmp_path / begun, then=then)
        until((tmp_path / begun).exists)
        calls = {pool.submit(run, http, key, tmp_path / key): key for key in keys}
        refused = next(as_completed(calls))  # with 429, so the other one waits by now
        agent_process.kill()
        agent_process.wait()
        (waiting,) = set(calls) - {refused}
        for call in (lost, waiting):
            assert isinstance(call.exception(), httpx.TransportError)
    assert refused.result().status_code == 429
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        for _ in range(2):
            response = run(http, begun, tmp_path / begun, then=then)
            assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
            assert "new key" in detail(response)
        assert run(http, begun, tmp_path / begun).status_code == 422  # another body
        assert result_of(run(http, calls[waiting], tmp_path / calls[waiting])) == {"calls": 1}
    assert (tmp_path / begun).read_text() == "x"


def test_stopped_run_is_remembered_as_such(registry: Path, tmp_path: Path) -> None:
    """A run that the agent ended when it was stopped is answered as action_crashed by the next agent too."""
    write_waiting_plugin(registry)
    headers = {"Idempotency-Key": str(uuid4())}
    body = {"action": "wait", "params": {"started": str(tmp_path / "started"), "go": str(tmp_path / "never")}}
    with ThreadPoolExecutor() as pool:
        agent = ThreadedAgent(registry, data=tmp_path / "data").start()
        with client_of(agent) as http:
            create(http, "waiting")
            call = pool.submit(http.post, RUN, json=body, headers=headers)
            process_in(tmp_path / "started")
            agent.stop()
            first = call.result()
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        assert http.post(RUN, json=body, headers=headers).json() == first.json()
    assert first.json()["error_type"] == "action_crashed"
