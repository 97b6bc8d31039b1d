"""The commands in a real terminal, with 60 and 100 columns."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from synapse_agent_sdk.cli import output

from tests.cli.conftest import PROGRAM
from tests.cli.terminal import Terminal
from tests.wire.faults import page, reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Environment, OpenServer, Show
    from tests.cli.terminal import Screen
    from tests.wire.faults import FaultServer

ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
EVIL = {"id": 7, "plugin": "\x1b[2J\x1b[31m[red]evil", "version": "1\r2\u202e", "created": "\x9b2J", "size": "x"}
MANY: list[dict[str, Any]] = [
    {"id": number, "plugin": "ocr", "version": f"1.0.{number}", "size": None, "note": "in words of their own " * 3}
    for number in range(12)
]


def lines_of(screen: Screen) -> list[str]:
    """The written lines without colours; asserts that all fit the terminal."""
    lines = ESCAPES.sub(b"", screen.raw).decode().splitlines()
    assert [line for line in lines if len(line) > screen.screen.columns] == []
    return lines


def has_cursor(screen: Screen) -> bool:
    """Whether the cursor was hidden and is visible again at the end."""
    return screen.raw.rfind(b"\x1b[?25h") > screen.raw.rfind(b"\x1b[?25l") >= 0


def piped(show: Show, *arguments: str, **given: Any) -> tuple[str, Screen]:
    """The output of a command into a pipe, and its terminal."""
    reading, writing = os.pipe()
    screen = show(*arguments, stdout=writing, **given)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return pipe.read(), screen


def test_results_fit_the_terminal(show: Show) -> None:
    """Releases are a table, with actions if they fit; other output is folded, and errors wrap at words."""
    for columns in (60, 100):
        header, *rows = lines_of(show("list", columns=columns))
        assert header.split() == ["ID", "PLUGIN", "VERSION", "CREATED", "SIZE"] + ["ACTIONS"] * (columns == 100)
        assert [row.split()[1:3] for row in rows] == [["tool", "1.1.0"], ["tool", "1.0.0"]]
        assert " ago " in rows[0][header.index("CREATED") :] or "just now" in rows[0]
        assert ("echo, fail, wait" in rows[0]) == (columns == 100)
    screen = show("get", "tool@1.0.0", columns=60)
    names = [line.split()[0] for line in lines_of(screen) if not line.startswith(" ")]
    assert (screen.code, names) == (0, ["id", "plugin", "version", "created", "size", "actions", "config"])
    assert '"entrypoint": "plugin:echo"' in re.sub(r"\s+", " ", screen.text)
    screen = show("get", "tool@9.9.9", columns=60)
    hint = "Hint: `synapse-agent list` shows the cached releases, `synapse-agent create` caches one."
    assert (screen.code, " ".join(lines_of(screen)).endswith(hint)) == (3, True)
    screen = show("doctor", columns=60)
    marks = [line.split()[:2] for line in lines_of(screen) if not line.startswith(" ")]
    checks = ["versions", "packages", "settings", "url", "proxy", "agent", "contract", "token"]
    assert (screen.code, marks) == (0, [["\u2713", name] for name in checks])


def test_results_on_a_terminal(show: Show, open_server: OpenServer) -> None:
    """A created release is shown field by field, a deletion on one line, an empty list on stderr, JSON as in a pipe."""
    assert re.search(r"^plugin +other$", show("create", "other@1.0.0").text, re.MULTILINE)
    assert show("delete", "other@1.0.0").text == "Deleted other@1.0.0."
    assert "status" in show("health").text
    empty = open_server(reply(page([], 0)))
    assert [show("list", *option, at=empty).text for option in ([], ["-q"])] == ["No releases.", ""]
    screen = show("run", "tool@1.0.0", "echo", "-p", 'a={"b": [1, null, "\u2713"]}', "--json")
    assert json.loads(screen.text) == {"a": {"b": [1, None, "\u2713"]}}


def test_colour(show: Show) -> None:
    """NO_COLOR disables colours, a dumb terminal gets plain text, and any other gets colours."""
    commands = {"list": 0, "get tool@9.9.9": 3, "run tool@1.0.0 echo -p a=1": 0, "doctor": 0}
    for setting in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {}):
        screens = {command: show(*command.split(), **setting) for command in commands}
        assert {command: screen.code for command, screen in screens.items()} == commands
        raw = b"".join(screen.raw for screen in screens.values())
        assert bool(re.search(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m", raw)) == (not setting)
        assert (b"\x1b" in raw) == ("TERM" not in setting)


def test_what_an_agent_sends_does_nothing_to_the_terminal(show: Show, open_server: OpenServer) -> None:
    """Control characters, colours and markup from an agent are escaped."""
    evil = reply(page([EVIL], 1))
    run = reply("\x1b[2Jcleared\x1b]0;title\x07")
    for arguments, answer, expected in (
        ("list", evil, r"\x1b[2J\x1b[31m[red]evil"),
        ("list -q", evil, r"\x1b[2J\x1b[31m[red]evil@1"),
        ("list --json", evil, r"\u001b[2J\u001b[31m[red]evil"),
        ("get 7", reply(EVIL), r"\x1b[2J\x1b[31m[red]evil"),
        ("run 7 train", run, r"\x1b[2Jcleared\x1b]0;title\x07"),
        ("run 7 train --json", run, r"\u001b[2Jcleared"),
        ("get 7", reply({"detail": "\x1b[2Jgone\x9b"}, 404), "gone"),
    ):
        screen = show(*arguments.split(), columns=200, at=open_server(answer))
        assert expected in screen.text
        for sequence in (b"\x1b[2J", b"\x1b]", b"\x9b", b"\r2", "\u202e".encode()):
            assert sequence not in screen.raw


def many(open_server: OpenServer) -> FaultServer:
    """An agent that lists `MANY`, one per page."""
    links = [*(f"?cursor={number}" for number in range(11)), None]
    return open_server(*(reply(page([one], 12, following=link)) for one, link in zip(MANY, links, strict=True)))


def test_bar_while_listing_many(show: Show, open_server: OpenServer, tmp_path: Path) -> None:
    """While reading many pages, a bar shows count, total and rate; then only the table remains."""
    for limit in (3, 12):
        screen = show("list", "--limit", str(limit), columns=60, at=many(open_server))
        assert re.search(r"\d+/12 releases [1-9][\d,]*/s", "\n".join(lines_of(screen)))
        rows = screen.text.splitlines()[1:]
        assert (screen.code, [row.split()[2] for row in rows]) == (0, [f"1.0.{number}" for number in range(limit)])
        assert has_cursor(screen)
        assert screen.raw.rfind(b"\x1b[?25h") < screen.raw.rfind(b"1.0.0")
    with (tmp_path / "list.json").open("w+b") as file:
        screen = show("list", columns=60, stdout=file.fileno(), at=many(open_server))
        assert (screen.code, screen.text) == (0, "")
        assert b"/12 releases" in ESCAPES.sub(b"", screen.raw)
        file.seek(0)
        assert json.load(file) == MANY


def test_no_bar_where_it_would_be_in_the_way(show: Show, open_server: OpenServer) -> None:
    """A pipe gets the whole list and the terminal nothing; JSON is the same on a terminal and in a pipe."""
    listed, screen = piped(show, "list", "-q", at=many(open_server))
    assert listed.split() == [f"ocr@1.0.{number}" for number in range(12)]
    assert (screen.code, screen.raw) == (0, b"")
    screen = show("list", "--json", columns=60, at=many(open_server))
    assert (screen.code, json.loads(screen.raw)) == (0, MANY)


@pytest.fixture
def waiting(tmp_path: Path) -> list[str]:
    """Arguments that run an action which signals its start and waits for permission to end."""
    parameters = ["-p", f"started={tmp_path / 'started'}", "-p", f"go={tmp_path / 'go'}"]
    return ["run", "tool@1.0.0", "wait", *parameters]


def test_spinner_during_a_run(show: Show, waiting: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an action runs, a spinner shows its name and elapsed time; then only the result remains."""
    monkeypatch.setattr(output, "SPINNER_SECONDS", 0)
    shown: list[str] = []

    def go(screen: Screen) -> None:
        shown.append(screen.text)
        (tmp_path / "go").touch()

    when = {"Running wait of tool@1.0.0": go}
    screen = show(*waiting, columns=60, when=when)
    assert (screen.code, screen.text, has_cursor(screen)) == (0, "done", True)
    assert re.search(r"Running wait of tool@1.0.0 0:00:\d\d", shown[0])
    (tmp_path / "go").unlink()
    result, screen = piped(show, *waiting, when=when)
    assert (result, screen.text) == ('"done"\n', "")


def test_interrupted_run(environment: Environment, waiting: list[str], tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM restore the cursor; Ctrl-C shows how to wait for the action, which may still be running."""
    command = [PROGRAM, *waiting, "--job-id", "j1"]
    with Terminal(command, environment()) as screen:
        screen.until("Running wait of tool@1.0.0")
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        assert (screen.interrupt(), has_cursor(screen)) == (130, True)
    shown = " ".join(screen.text.split())
    assert "Interrupted. wait of tool@1.0.0 may still be running on the agent (job id j1)." in shown
    assert "Traceback" not in shown
    (key,) = re.findall(r"--idempotency-key [0-9a-f-]{36}", shown)
    command += key.split()
    with Terminal(command, environment()) as screen:
        screen.until("Running wait of tool@1.0.0")
        screen.process.terminate()
        assert (screen.wait(), "Traceback" in screen.text, has_cursor(screen)) == (143, False, True)
    (tmp_path / "started").unlink()
    (tmp_path / "go").touch()
    with Terminal(command, environment()) as screen:
        assert (screen.wait(), screen.text) == (0, "done")
    assert not (tmp_path / "started").exists()  # the same run, not another one
