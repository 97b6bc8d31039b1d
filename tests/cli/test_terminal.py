"""The commands in a real terminal: what its screen shows, at 60 and at 100 columns."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from synapse_sdk.clients.agent import AgentClient

from tests.wire.faults import page, reply, then

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.cli.conftest import Open, OpenServer
    from tests.threaded_agent import ThreadedAgent

WIDTHS = pytest.mark.parametrize("columns", [60, 100])
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
EVIL = {"id": 7, "plugin": "\x1b[2J\x1b[31m[red]evil", "version": "1\r2\u202e", "created": "\x9b2J", "size": "x"}


def lines_of(raw: bytes) -> list[str]:
    """The lines that a program wrote, without their colours."""
    return ESCAPES.sub(b"", raw).decode().splitlines()


@WIDTHS
def test_list_is_a_table(terminal: Open, columns: int) -> None:
    """Releases are rows of a table that fits the terminal; its actions show where there is room."""
    screen = terminal("list", columns=columns)
    assert screen.wait() == 0
    header, *rows = screen.text.splitlines()
    assert header.split() == ["ID", "PLUGIN", "VERSION", "CREATED", "SIZE"] + ["ACTIONS"] * (columns == 100)
    assert [row.split()[1:3] for row in rows] == [["tool", "1.1.0"], ["tool", "1.0.0"]]
    assert rows[0][header.index("CREATED") :].startswith(("just now", "1 minute ago"))
    assert ("echo, fail, text, wait" in rows[0]) == (columns == 100)
    assert [line for line in lines_of(screen.raw) if len(line) > columns] == []


@WIDTHS
def test_long_names_are_folded(terminal: Open, open_server: OpenServer, columns: int) -> None:
    """In a table that is too wide for the terminal, cells are folded and no letter is lost."""
    release = {"id": 123456, "plugin": "a" * 70, "version": "1.0.0+" + "b" * 50, "created": "2026-01-01T00:00:00Z"}
    screen = terminal("list", columns=columns, SYNAPSE_AGENT_URL=open_server(reply(page([release], 1))).url)
    assert screen.wait() == 0
    assert screen.text.count("a") == 70 + screen.text.count("ago")
    assert screen.text.count("b") == 50
    assert "123456" in screen.text
    assert [line for line in lines_of(screen.raw) if len(line) > columns] == []


@WIDTHS
def test_get_shows_all_that_is_known(terminal: Open, columns: int) -> None:
    """A release is shown field by field, its configuration too."""
    screen = terminal("get", "tool@1.0.0", columns=columns)
    assert screen.wait() == 0
    lines = screen.text.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "id",
        "plugin",
        "version",
        "created",
        "size",
        "actions",
        "config",
    ]
    assert '"entrypoint": "plugin:echo"' in re.sub(r"\s+", " ", screen.text)
    assert [line for line in lines_of(screen.raw) if len(line) > columns] == []


@WIDTHS
def test_spinner_during_a_run(terminal: Open, tmp_path: Path, columns: int) -> None:
    """While an action runs a spinner shows what and for how long; then the result alone stays."""
    parameters = ["-p", f"started={tmp_path / 'started'}", "-p", f"go={tmp_path / 'go'}"]
    screen = terminal("run", "tool@1.0.0", "wait", *parameters, columns=columns)
    shown = screen.until("0:00:01")
    assert "Running wait of tool@1.0.0" in shown
    (tmp_path / "go").touch()
    assert screen.wait() == 0
    assert screen.text == "done"
    assert screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l")  # the cursor is back


def test_spinner_beside_a_pipe(terminal: Open, tmp_path: Path) -> None:
    """Where stdout is a pipe, the spinner is on the terminal, and the pipe has the result as JSON alone."""
    parameters = ["-p", f"started={tmp_path / 'started'}", "-p", f"go={tmp_path / 'go'}"]
    reading, writing = os.pipe()
    screen = terminal("run", "tool@1.0.0", "wait", *parameters, stdout=writing)
    os.close(writing)
    screen.until("Running wait of tool@1.0.0")
    (tmp_path / "go").touch()
    assert screen.wait() == 0
    with os.fdopen(reading) as pipe:
        assert pipe.read() == '"done"\n'
    assert screen.text == ""


def test_interrupted_run(terminal: Open, tmp_path: Path) -> None:
    """Ctrl-C ends a run with 130, says that the action may go on and under which job id, and how to wait for it."""
    parameters = ["-p", f"started={tmp_path / 'started'}", "-p", f"go={tmp_path / 'go'}"]
    screen = terminal("run", "tool@1.0.0", "wait", *parameters, "--job-id", "j1")
    screen.until("0:00:00")
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    assert screen.interrupt() == 130
    said = " ".join(screen.text.split())
    assert "Interrupted. wait of tool@1.0.0 may go on on the agent (job id j1)." in said
    assert "Traceback" not in said
    assert screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l")
    key = re.search(r"--idempotency-key ([0-9a-f-]{36})", said)
    assert key is not None
    again = terminal("run", "tool@1.0.0", "wait", *parameters, "--job-id", "j1", "--idempotency-key", key[1])
    (tmp_path / "started").unlink()
    (tmp_path / "go").touch()
    assert again.wait() == 0
    assert again.text == "done"
    assert not (tmp_path / "started").exists()  # the same run, not another one


def test_terminated_run(terminal: Open, tmp_path: Path) -> None:
    """A command that is told to end gives the terminal its cursor back."""
    parameters = ["-p", f"started={tmp_path / 'started'}", "-p", f"go={tmp_path / 'go'}"]
    screen = terminal("run", "tool@1.0.0", "wait", *parameters)
    screen.until("0:00:00")
    screen.process.terminate()
    assert screen.wait() == 143
    (tmp_path / "go").touch()
    assert screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l")
    assert "Traceback" not in screen.text


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=str)
def test_colour(terminal: Open, setting: dict[str, Any]) -> None:
    """With NO_COLOR there is no colour, a dumb terminal gets plain text alone, and any other one has colours."""
    commands = {"list": 0, "get tool@9.9.9": 3, "run tool@1.0.0 echo -p a=1": 0, "doctor": 0}
    screens = {command: terminal(*command.split(), **setting) for command in commands}
    assert {command: screen.wait() for command, screen in screens.items()} == commands
    raw = b"".join(screen.raw for screen in screens.values())
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m", raw)) == (not setting)
    assert (b"\x1b" in raw) == ("TERM" not in setting)


def test_what_an_agent_sends_does_nothing_to_the_terminal(terminal: Open, open_server: OpenServer) -> None:
    """Control characters, colours and markup in what an agent sends are shown, and not acted on."""
    evil = reply(page([EVIL], 1))
    one, run = reply(EVIL), reply("\x1b[2Jcleared\x1b]0;title\x07")
    error = reply({"detail": "\x1b[2Jgone\x9b"}, 404)
    for arguments, answer, expected in (
        (["list"], evil, r"\x1b[2J\x1b[31m[red]evil"),
        (["list", "-q"], evil, r"\x1b[2J\x1b[31m[red]evil@1"),
        (["list", "--json"], evil, r"\u001b[2J\u001b[31m[red]evil"),
        (["get", "7"], one, r"\x1b[2J\x1b[31m[red]evil"),
        (["run", "7", "train"], run, r"\x1b[2Jcleared\x1b]0;title\x07"),
        (["run", "7", "train", "--json"], run, r"\u001b[2Jcleared"),
        (["get", "7"], error, "gone"),
    ):
        screen = terminal(*arguments, columns=200, SYNAPSE_AGENT_URL=open_server(answer).url)
        screen.wait()
        assert expected in screen.text
        for sequence in (b"\x1b[2J", b"\x1b]", b"\x9b", b"\r2", "\u202e".encode()):
            assert sequence not in screen.raw


MANY: list[dict[str, Any]] = [
    {"id": number, "plugin": "ocr", "version": f"1.0.{number}", "size": None, "note": "in words of their own " * 3}
    for number in range(12)
]


def slow(connection: socket.socket) -> bool:
    """Let a page take a moment."""
    time.sleep(0.05)
    return True


@pytest.fixture
def many(open_server: OpenServer) -> str:
    """The URL of an agent that lists `MANY`, each on a page that takes a moment."""
    links = [f"?cursor={number}" for number in range(11)]
    pages = [page([release], 12, following=link) for release, link in zip(MANY, [*links, None], strict=True)]
    return open_server(*(then(slow, reply(each)) for each in pages)).url


@WIDTHS
def test_bar_while_listing_many(terminal: Open, many: str, columns: int) -> None:
    """While many pages are read a bar shows how many of how many, and the rate; then the table alone stays."""
    screen = terminal("list", columns=columns, SYNAPSE_AGENT_URL=many)
    shown = screen.until(lambda text: re.search(r"\d+/12 releases [1-9][\d,]*/s", text) is not None)
    assert [line for line in shown.splitlines() if len(line) > columns] == []
    assert screen.wait() == 0
    assert len(screen.text.splitlines()) == 13
    assert "/s" not in screen.text


def test_bar_beside_a_file(terminal: Open, many: str, tmp_path: Path) -> None:
    """Where stdout is a file, the bar is on the terminal, and the file has the whole list."""
    with (tmp_path / "list.json").open("w+b") as file:
        screen = terminal("list", columns=60, stdout=file.fileno(), SYNAPSE_AGENT_URL=many)
        screen.until("/12 releases")
        assert screen.wait() == 0
        assert screen.text == ""
        file.seek(0)
        assert json.load(file) == MANY


def test_list_in_a_pipe_of_a_terminal(terminal: Open, many: str) -> None:
    """A pipe gets the whole list, and the next program has the terminal for itself."""
    reading, writing = os.pipe()
    screen = terminal("list", "-q", stdout=writing, SYNAPSE_AGENT_URL=many)
    os.close(writing)
    assert screen.wait() == 0
    with os.fdopen(reading) as pipe:
        assert pipe.read().split() == [f"ocr@1.0.{number}" for number in range(12)]
    assert screen.raw == b""


def test_long_list_as_json_on_a_terminal(terminal: Open, many: str) -> None:
    """A list of many pages as JSON is on a terminal what it is in a pipe: no line break, no bar between."""
    screen = terminal("list", "--json", columns=60, SYNAPSE_AGENT_URL=many)
    assert screen.wait() == 0
    assert json.loads(screen.raw) == MANY


def test_bar_ends_at_the_limit(terminal: Open, many: str) -> None:
    """Where a limit ends a list before its last page, the bar is gone before the table is drawn."""
    screen = terminal("list", "--limit", "3", SYNAPSE_AGENT_URL=many)
    assert screen.wait() == 0
    assert [line.split()[2] for line in screen.text.splitlines()] == ["VERSION", "1.0.0", "1.0.1", "1.0.2"]
    assert screen.raw.rfind(b"\x1b[?25h") < screen.raw.rfind(b"VERSION")


@WIDTHS
def test_error_is_wrapped_at_words(terminal: Open, columns: int) -> None:
    """An error and its hint fit the terminal in whole words."""
    screen = terminal("health", "--url", "http://127.0.0.1:1", columns=columns)
    assert screen.wait() == 5
    lines = lines_of(screen.raw)
    assert [line for line in lines if len(line) > columns] == []
    said = " ".join(line for line in lines if line and "Asking" not in line)
    assert "Hint: Is http://127.0.0.1:1 right, and its agent up? `synapse-agent serve` starts one." in said


@WIDTHS
def test_doctor_that_finds_nothing(terminal: Open, columns: int) -> None:
    """Where all is well each check has its mark, and the exit code is 0."""
    screen = terminal("doctor", columns=columns)
    assert screen.wait() == 0
    marks = [line.split()[:2] for line in screen.text.splitlines() if not line.startswith(" ")]
    assert marks == [
        ["\u2713", name] for name in ("versions", "packages", "settings", "url", "proxy", "agent", "contract", "token")
    ]
    assert [line for line in lines_of(screen.raw) if len(line) > columns] == []


def test_empty_list(terminal: Open, open_server: OpenServer) -> None:
    """An empty list says so on stderr, and nothing on stdout."""
    reading, writing = os.pipe()
    url = open_server(reply(page([], 0))).url
    screen = terminal("list", SYNAPSE_AGENT_URL=url)
    assert screen.wait() == 0
    assert screen.text == "No releases."
    screen = terminal("list", "-q", stdout=writing, SYNAPSE_AGENT_URL=url)
    os.close(writing)
    assert screen.wait() == 0
    with os.fdopen(reading) as pipe:
        assert pipe.read() == ""


def test_created_and_deleted_on_a_terminal(terminal: Open, agent: ThreadedAgent) -> None:
    """On a terminal what was cached is shown field by field, and what was deleted in a line."""
    screen = terminal("create", "other@1.0.0")
    assert screen.wait() == 0
    assert re.search(r"^plugin +other$", screen.text, re.MULTILINE)
    screen = terminal("delete", "other@1.0.0")
    assert screen.wait() == 0
    assert screen.text == "Deleted other@1.0.0."
    with AgentClient(agent.url, agent.token) as client:
        assert client.list_plugin_releases({"plugin": "other"})["count"] == 0


def test_json_on_a_terminal(terminal: Open) -> None:
    """--json gives JSON on a terminal too, which is the same as in a pipe."""
    screen = terminal("run", "tool@1.0.0", "echo", "-p", 'a={"b": [1, null, "\u2713"]}', "--json")
    assert screen.wait() == 0
    assert json.loads(screen.text) == {"a": {"b": [1, None, "\u2713"]}}
