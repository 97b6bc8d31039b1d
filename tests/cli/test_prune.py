"""Pruning from the command line: it asks, and deletes only what it showed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.wire.faults import page, reply

if TYPE_CHECKING:
    from synapse_agent_sdk.testing.server import FaultServer

    from tests.cli.conftest import OpenServer, Run, Show
    from tests.cli.terminal import Screen

OLD, MIDDLE, NEW = (
    {"id": number, "plugin": "ocr", "version": f"1.{number}.0", "created": f"2026-01-0{number}T00:00:00Z"}
    for number in (1, 2, 3)
)
LIST = reply(page([NEW, MIDDLE, OLD], 3))
GONE = reply(None, 204)
QUESTION = "Delete 2 releases? [y/N]:"


def deleted(server: FaultServer) -> list[str]:
    """The paths of the received DELETE requests."""
    return [request.path for request in server.requests if request.method == "DELETE"]


def test_without_asking(call: Run, open_server: OpenServer) -> None:
    """Only releases that meet all criteria are deleted, by id, oldest first; an error reports how many were."""
    gone_already = reply({"detail": "There is no release 1."}, 404)
    for arguments, answer, releases, ids in (
        ("--keep 1 --yes", GONE, [OLD, MIDDLE], [1, 2]),
        ("--keep 1 --yes", gone_already, [MIDDLE], [1, 2]),
        ("--older-than 2026-01-02 --keep 1 --plugin ocr -y", GONE, [OLD], [1]),
        ("--keep 2 --dry-run", GONE, [OLD], []),
    ):
        server = open_server(LIST, answer, GONE)
        ended = call("prune", *arguments.split(), at=server)
        assert (ended.returncode, json.loads(ended.stdout), ended.stderr) == (0, releases, ""), arguments
        assert deleted(server) == [f"/plugin_releases/{number}" for number in ids]
        assert (("plugin", "ocr") in server.requests[0].query) == ("--plugin" in arguments)
    ended = call("prune", "--keep", "1", "--yes", at=open_server(LIST, GONE, reply({"detail": "in use"}, 409)))
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "1 of 2 releases were deleted." in ended.stderr


def test_refused(call: Run, open_server: OpenServer) -> None:
    """Without a valid criterion, or if it cannot ask, nothing is sent."""
    server = open_server(LIST)
    for arguments, expected in {
        "--keep 1": "without a terminal",
        "--plugin ocr --yes": "prune needs a criterion",
        "--keep 0 --yes": "--keep",
        "--older-than tomorrow --yes": "--older-than",
        "--older-than= --yes": "--older-than",
        "--older-than 2999-01-01 --yes": "must be in the past",
    }.items():
        ended = call("prune", *arguments.split(), at=server)
        assert (ended.returncode, ended.stdout, expected in ended.stderr) == (2, "", True), arguments
    assert server.requests == []


def test_answer_yes(show: Show, open_server: OpenServer) -> None:
    """On a terminal it shows the releases, asks, and deletes exactly those on yes."""
    server = open_server(LIST, GONE)
    arrived: list[str] = []

    def answer(screen: Screen) -> None:
        arrived.extend(request.method for request in server.requests)
        screen.type("y\r")

    screen = show("prune", "--keep", "1", columns=60, at=server, when={QUESTION: answer})
    lines = screen.text.splitlines()
    assert (screen.code, arrived, lines[-1].strip()) == (0, ["GET"], "2 releases deleted.")
    assert [line.split()[2] for line in lines[1:3]] == ["1.1.0", "1.2.0"]
    assert deleted(server) == ["/plugin_releases/1", "/plugin_releases/2"]
    assert len(server.requests) == 3  # the list is read once


def test_answer_no(show: Show, open_server: OpenServer) -> None:
    """Any other answer deletes nothing; without matching releases it does not ask."""
    for keys, code, expected in (
        ("\r", 0, "Nothing was deleted."),
        ("n\r", 0, "Nothing was deleted."),
        ("\x04", 130, "Interrupted."),
    ):
        server = open_server(LIST, GONE)
        screen = show("prune", "--keep", "1", at=server, when={QUESTION: lambda screen, keys=keys: screen.type(keys)})
        assert (screen.code, expected in screen.text, "Traceback" in screen.text) == (code, True, False)
        assert deleted(server) == []
    assert show("prune", "--keep", "3", at=open_server(LIST)).text == "0 releases deleted."
