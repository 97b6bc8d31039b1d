"""The command `synapse-agent serve`, in its own process."""

from __future__ import annotations

import os
import signal
import socket
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from synapse_agent_sdk.cli.app import app
from typer.testing import CliRunner

from tests.agent.helpers import client_at, group_of, result_of, until, url_of, waiting_run, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tests.agent.conftest import Serve

SAFETY = 120  # seconds after which a waiting test fails


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code of an agent, and its stdout and stderr without the URL line."""
    out, err = process.communicate(timeout=SAFETY)
    return process.returncode, out, err


def test_first_line_and_kept_token(serve: Serve, tmp_path: Path) -> None:
    """Without a token one is created in the data folder, readable only by the user; stdout is one line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        process = serve()
        url = url_of(process)
        assert url.startswith("http://127.0.0.1:")
        (kept,) = (tmp_path / "home").rglob("token")
        token = kept.read_text()
        assert len(token) >= 32
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
        with client_at(url, token) as http:
            assert http.get("/plugin_releases/").status_code == 200
            assert http.get("/plugin_releases/", headers={"Authorization": token[:-1]}).status_code == 401
            assert http.post("/plugin_releases/", content=b"x" * 1000).status_code == 415
        process.send_signal(number)
        assert ended(process) == (0, "", f"The agent token is in {kept}\nStopped.\n")
    assert kept.read_text() == token


@pytest.mark.parametrize(
    "arguments", [["--token-file", "file"], ["--token", "given-token"], []], ids=["file", "argument", "variable"]
)
def test_token_that_is_given(serve: Serve, tmp_path: Path, arguments: list[str]) -> None:
    """A token comes from --token-file, --token or SYNAPSE_AGENT_TOKEN, in this order, and is not stored or shown."""
    (tmp_path / "file").write_text("given-token\n")
    process = serve("--data", "data", *arguments, SYNAPSE_AGENT_TOKEN="other-token" if arguments else "given-token")
    with client_at(url_of(process), "given-token") as http:
        assert http.get("/plugin_releases/").status_code == 200
    assert not (tmp_path / "data" / "token").exists()
    process.terminate()
    assert ended(process) == (0, "", "Stopped.\n")


@contextmanager
def agent_with_a_run(
    serve: Serve, registry: Path, folder: Path, grace: str
) -> Iterator[tuple[subprocess.Popen[str], str, int, Future[httpx.Response]]]:
    """An agent's process and URL, and a run's process and response, which comes once `go` is in the folder."""
    process = serve("--grace", grace, SYNAPSE_AGENT_TOKEN="token")
    url = url_of(process)
    with client_at(url, "token") as http, waiting_run(http, registry, folder) as (worker, answer):
        yield process, url, worker, answer


def accepts(url: str) -> bool:
    """Whether an agent accepts new connections."""
    try:
        httpx.get(f"{url}/health/", timeout=SAFETY)
    except httpx.TransportError:
        return False
    return True


ENDS = [("0.05", [signal.SIGINT]), ("0.05", [signal.SIGTERM]), ("3600", [signal.SIGINT, signal.SIGTERM])]


@pytest.mark.parametrize(("grace", "numbers"), ENDS)
def test_signal_ends_agent_and_run(
    serve: Serve, registry: Path, tmp_path: Path, grace: str, numbers: list[signal.Signals]
) -> None:
    """A signal ends agent and run after the grace, a second one at once; the caller gets a response."""
    with agent_with_a_run(serve, registry, tmp_path, grace) as (process, url, worker, answer):
        process.send_signal(numbers[0])
        for number in numbers[1:]:
            until(lambda: not accepts(url))
            process.send_signal(number)
        assert ended(process) == (0, "", "Stopped.\n")
        assert (answer.result().status_code, answer.result().json()["error_type"]) == (500, "action_crashed")
    until(lambda: group_of(worker) == set())


def test_run_that_ends_soon_is_waited_for(serve: Serve, registry: Path, tmp_path: Path) -> None:
    """A run that ends within the grace returns its result, while no new connection is accepted."""
    with agent_with_a_run(serve, registry, tmp_path, "3600") as (process, url, _, answer):
        process.terminate()
        until(lambda: not accepts(url))
        (tmp_path / "go").touch()
        assert result_of(answer.result()) == "late"
    assert ended(process)[0] == 0


REFUSALS = [
    ("--token", "", "ASCII"),
    ("--token", "t\u00f6ken", "ASCII"),
    ("--token-file", "nosuch", "--token-file nosuch cannot be read"),
    ("--data", "blank", "blank"),
    ("--data", "not_a_database", "not_a_database cannot be used, give another --data"),
    ("--data", "empty_token", "empty_token/token"),
    ("--data", "used", f"Another agent (process {os.getpid()}) uses the data folder "),
    ("--host", "203.0.113.1", "203.0.113.1"),
    ("--port", "TAKEN", "--port"),
    ("--port", "65536", "65535"),
    ("--registry", "nosuch", "nosuch is not a folder: give a folder"),
    ("--registry", "broken", "broken/ocr/config.yaml is not valid YAML: "),
]


def test_argument_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid token, folder, address or port is named in one line with exit code 2; nothing is created."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SYNAPSE_AGENT_TOKEN", raising=False)
    (tmp_path / "blank").write_text("\n")
    for name in ("plugins", "not_a_database", "empty_token"):
        (tmp_path / name).mkdir()
    (tmp_path / "not_a_database" / "agent.sqlite").write_text("no database" * 100)
    (tmp_path / "empty_token" / "token").touch()
    (write_plugin(tmp_path / "broken", "ocr", {}) / "config.yaml").write_text("code: [\n  - x: {\n")
    with ThreadedAgent("plugins", data="used"), socket.create_server(("127.0.0.1", 0)) as listener:
        for option, value, expected in REFUSALS:
            given = str(listener.getsockname()[1]) if value == "TAKEN" else value
            options = {"--registry": "plugins", "--data": "data", "--port": "0", option: given}
            result = CliRunner().invoke(app, ["serve", *(word for pair in options.items() for word in pair)])
            assert (result.exit_code, result.stdout) == (2, ""), (option, value)
            assert expected in result.stderr
            assert result.stderr.count("\n") == 1 or value == "65536"  # rejected by the option parser
            assert value != "TAKEN" or given in result.stderr
            assert "t\u00f6ken" not in result.stderr
    assert not (tmp_path / "data").exists()
