"""The command line `synapse-agent serve`, as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from synapse_sdk.cli.app import app
from typer.testing import CliRunner

from tests.agent.helpers import (
    client_at,
    create,
    detail,
    group_of,
    is_alive,
    process_in,
    result_of,
    run_source,
    until,
    url_of,
    write_plugin,
    write_waiting_plugin,
)

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.agent.conftest import Serve


SAFETY = 120
"""Seconds after which a test that waits has failed."""


def refusal(process: subprocess.Popen[str]) -> str:
    """What an agent says that does not start: one line on stderr, with exit code 2 and nothing on stdout."""
    out, err = process.communicate(timeout=SAFETY)
    assert (process.returncode, out) == (2, ""), err
    assert err.count("\n") == 1, err
    return err.strip()


def run_waiting(url: str, token: str, folder: Path) -> Any:
    """Run the action `wait` of the plugin `waiting`, which ends once `go` is in the folder."""
    params = {"started": str(folder / "started"), "go": str(folder / "go")}
    with client_at(url, token) as http:
        create(http, "waiting")
        return http.post("/plugin_releases/1/run/", json={"action": "wait", "params": params})


def test_first_line_and_kept_token(serve: Serve, tmp_path: Path) -> None:
    """Without a token one is made in the data folder for its owner alone; stdout is one line, stderr has the path."""
    data = tmp_path / "data"
    process = serve("--data", data)
    url = url_of(process)
    assert url.startswith("http://127.0.0.1:")
    token = (data / "token").read_text()
    assert len(token) >= 32
    assert stat.S_IMODE((data / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    with client_at(url, token) as http:
        assert http.get("/plugin_releases/").status_code == 200
        assert http.get("/plugin_releases/", headers={"Authorization": token[:-1]}).status_code == 401
        assert http.post("/plugin_releases/", content=b"x" * 1000).status_code == 415
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SAFETY)
    assert (process.returncode, out) == (0, "")
    assert err == f"The agent token is in {data / 'token'}\nStopped.\n"


def test_kept_token_stays(serve: Serve, tmp_path: Path) -> None:
    """The next start has the token of the first; the data folder is the user's own where none is given."""
    for _ in range(2):
        process = serve()
        url = url_of(process)
        (kept,) = (tmp_path / "home").rglob("token")
        with client_at(url, kept.read_text()) as http:
            assert http.get("/plugin_releases/").status_code == 200
        process.terminate()
        process.communicate(timeout=SAFETY)


@pytest.mark.parametrize(
    "arguments", [["--token-file", "file"], ["--token", "given-token"], []], ids=["file", "argument", "variable"]
)
def test_token_that_is_given(serve: Serve, tmp_path: Path, arguments: list[str]) -> None:
    """A token comes from --token-file, --token or SYNAPSE_AGENT_TOKEN, in this order, and is neither kept nor shown."""
    (tmp_path / "file").write_text("given-token\n")
    process = serve("--data", "data", *arguments, SYNAPSE_AGENT_TOKEN="other-token" if arguments else "given-token")
    with client_at(url_of(process), "given-token") as http:
        assert http.get("/plugin_releases/").status_code == 200
    assert not (tmp_path / "data" / "token").exists()
    process.terminate()
    out, err = process.communicate(timeout=SAFETY)
    assert "token" not in out + err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_agent_and_run(serve: Serve, registry: Path, tmp_path: Path, number: signal.Signals) -> None:
    """A signal during a run ends both after the grace; the caller is answered, and no process is left."""
    write_waiting_plugin(registry)
    process = serve("--grace", "0.05", SYNAPSE_AGENT_TOKEN="token")
    url = url_of(process)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(run_waiting, url, "token", tmp_path)
        worker = process_in(tmp_path / "started")
        process.send_signal(number)
        out, err = process.communicate(timeout=SAFETY)
        answer = run.result()
    assert (process.returncode, out, err) == (0, "", "Stopped.\n")
    assert (answer.status_code, answer.json()["error_type"]) == (500, "action_crashed")
    until(lambda: group_of(worker) == set())


def test_run_that_ends_soon_is_waited_for(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """A run that ends within the grace is answered with its result, while no new connection is taken."""
    write_waiting_plugin(registry)
    process = serve("--grace", "3600", SYNAPSE_AGENT_TOKEN="token")
    url = url_of(process)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(run_waiting, url, "token", tmp_path)
        process_in(tmp_path / "started")
        process.terminate()
        until(lambda: not accepts(url))
        (tmp_path / "go").touch()
        assert result_of(run.result()) == "late"
    process.communicate(timeout=SAFETY)
    assert process.returncode == 0


def accepts(url: str) -> bool:
    """Whether an agent takes new connections."""
    try:
        httpx.get(f"{url}/health/", timeout=SAFETY)
    except httpx.TransportError:
        return False
    return True


def test_second_signal_ends_at_once(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """A second signal does not wait for the run, which ends with an answer."""
    write_waiting_plugin(registry)
    process = serve("--grace", "3600", SYNAPSE_AGENT_TOKEN="token")
    url = url_of(process)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(run_waiting, url, "token", tmp_path)
        worker = process_in(tmp_path / "started")
        process.send_signal(signal.SIGINT)
        until(lambda: not accepts(url))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SAFETY)
        assert run.result().json()["error_type"] == "action_crashed"
    assert (process.returncode, out, err) == (0, "", "Stopped.\n")
    until(lambda: group_of(worker) == set())


def test_killed_agent_leaves_no_process(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """When the agent is killed, actions and what they started end by themselves, and it can start again."""
    source = "import os, pathlib, subprocess, time\ndef run(params):\n"
    source += "    child = subprocess.Popen(['sleep', '60'])\n"
    source += "    pathlib.Path(params['child']).write_text(str(child.pid))\n    time.sleep(60)"
    write_plugin(registry, "ocr", {"plugin.py": source})
    process = serve("--data", tmp_path / "data", "--max-running", "3", SYNAPSE_AGENT_TOKEN="token")
    url = url_of(process)
    with client_at(url, "token") as http, ThreadPoolExecutor() as pool:
        create(http, "ocr")
        files = [tmp_path / str(number) for number in range(3)]
        runs = [
            pool.submit(http.post, "/plugin_releases/1/run/", json={"action": "run", "params": {"child": str(file)}})
            for file in files
        ]
        children = [process_in(file) for file in files]
        workers = [os.getpgid(child) for child in children]
        process.kill()
        for run in runs:
            assert isinstance(run.exception(), httpx.TransportError)
    until(lambda: not any(group_of(worker) for worker in workers))
    assert [child for child in children if is_alive(child)] == []
    process = serve("--data", tmp_path / "data", SYNAPSE_AGENT_TOKEN="token")
    with client_at(url_of(process), "token") as http:
        assert http.get("/plugin_releases/1").json()["plugin"] == "ocr"


def test_output_of_actions_stays_out_of_the_server_s(serve: Serve) -> None:
    """After actions that print and actions that crash, stdout has the one line and stderr none of theirs."""
    process = serve(SYNAPSE_AGENT_TOKEN="token")
    with client_at(url_of(process), "token") as http:
        result_of(run_source(http, "import os\ndef run(params):\n    print('noise')\n    os.write(2, b'noise')"))
        assert run_source(http, "def run(params): raise ValueError('noise')").status_code == 500
        assert run_source(http, "import ctypes\ndef run(params): ctypes.string_at(0)").status_code == 500
    process.terminate()
    assert process.communicate(timeout=SAFETY) == ("", "Stopped.\n")


def test_debug_roots(serve: Serve, tmp_path: Path) -> None:
    """Debug runs load from the current folder, or else from those of --debug-root alone."""
    for name in ("one", "two", "three"):
        write_plugin(tmp_path, name, {"plugin.py": "def run(params): return 1"})

    def statuses(process: subprocess.Popen[str]) -> list[int]:
        with client_at(url_of(process), "token") as http:
            bodies = [{"action": "run", "plugin_path": str(tmp_path / name)} for name in ("one", "two", "three")]
            return [http.post("/plugin_releases/run_debug/", json=body).status_code for body in bodies]

    assert statuses(serve("--token", "token", "--data", "first")) == [200, 200, 200]
    roots = ("--debug-root", "one", "--debug-root", tmp_path / "two")
    assert statuses(serve("--token", "token", "--data", "second", *roots)) == [200, 200, 403]


def test_second_agent_of_a_data_folder_says_what_to_do(serve: Serve, tmp_path: Path) -> None:
    """A data folder that an agent uses is one line that names it and that agent, and exit code 2; later it is free."""
    process = serve("--data", tmp_path / "data")
    url_of(process)
    message = refusal(serve("--data", tmp_path / "data"))
    assert message.startswith(f"Another agent (process {process.pid}) uses the data folder {tmp_path / 'data'}: ")
    process.kill()
    process.communicate()
    url_of(serve("--data", tmp_path / "data"))


def break_config(registry: Path) -> None:
    """Put a plugin into a registry whose config.yaml does not parse."""
    (write_plugin(registry, "ocr", {}) / "config.yaml").write_text("code: [\n  - x: {\n")


REFUSALS: dict[str, tuple[list[str], str]] = {
    "empty token": (["--token", ""], "ASCII"),
    "token that no header takes": (["--token", "t\u00f6ken"], "ASCII"),
    "token file that is not there": (["--token-file", "nosuch"], "--token-file nosuch cannot be read"),
    "token file that is empty": (["--token-file", "blank"], "ASCII"),
    "data that is a file": (["--data", "blank"], "blank"),
    "data that is no database": (["--data", "not_a_database"], "not_a_database cannot be used, give another --data"),
    "kept token that is empty": (["--data", "empty_token"], "empty_token/token"),
    "address of another machine": (["--host", "203.0.113.1"], "203.0.113.1"),
    "port out of range": (["--port", "65536"], "65535"),
    "registry that is not there": (["--registry", "nosuch"], "nosuch is not a folder: name one"),
    "plugin that does not parse": (["--registry", "broken"], "broken/ocr/config.yaml is not YAML; mend it: "),
}


@pytest.mark.parametrize(("arguments", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_argument_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    """A token, folder, address or port that cannot be used is named with exit code 2, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNAPSE_AGENT_TOKEN", raising=False)
    (tmp_path / "blank").write_text("\n")
    for name in ("plugins", "not_a_database", "empty_token"):
        (tmp_path / name).mkdir()
    (tmp_path / "not_a_database" / "agent.sqlite").write_text("no database" * 100)
    (tmp_path / "empty_token" / "token").touch()
    break_config(tmp_path / "broken")
    usual = {"--registry": "plugins", "--data": "data", "--port": "0"}
    rest = [word for name, value in usual.items() if name not in arguments for word in (name, value)]
    ended = CliRunner().invoke(app, ["serve", *arguments, *rest])
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert expected in ended.stderr
    assert "t\u00f6ken" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_port_in_use_says_what_to_do(serve: Serve, tmp_path: Path) -> None:
    """A port in use is one line that names it and says what to do, exit code 2, and nothing is made."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        message = refusal(serve("--port", port, "--data", tmp_path / "data"))
    assert port in message
    assert "--port" in message
    assert not (tmp_path / "data").exists()


def test_agents_that_were_killed_leave_a_usable_folder(serve: Serve, tmp_path: Path) -> None:
    """Agents that are killed as soon as they listen leave a data folder that the next one takes, with its token."""
    for _ in range(3):
        process = serve("--data", tmp_path / "data")
        url_of(process)
        process.kill()
        process.communicate()
    process = serve("--data", tmp_path / "data")
    with client_at(url_of(process), (tmp_path / "data" / "token").read_text()) as http:
        response = http.post("/plugin_releases/", json={"plugin": "nosuch", "version": "1"})
    assert "nosuch" in detail(response)
