"""Pruning from the command line: it asks, and what it showed is all that it deletes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

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
    """The paths of the deletions that arrived."""
    return [request.path for request in server.requests if request.method == "DELETE"]


def test_yes(call: Run, open_server: OpenServer) -> None:
    """With --yes the old releases are deleted by id, oldest first, and are the result."""
    server = open_server(LIST, GONE)
    ended = call("prune", "--keep", "1", "--yes", SYNAPSE_AGENT_URL=server.url)
    assert (ended.returncode, json.loads(ended.stdout), ended.stderr) == (0, [OLD, MIDDLE], "")
    assert deleted(server) == ["/plugin_releases/1", "/plugin_releases/2"]


def test_criteria(call: Run, open_server: OpenServer) -> None:
    """A release goes only where age, number and plugin all say so, whatever the agent lists."""
    server = open_server(LIST, GONE)
    criteria = ["--older-than", "2026-01-02", "--keep", "1", "--plugin", "ocr"]
    ended = call("prune", *criteria, "-y", SYNAPSE_AGENT_URL=server.url)
    assert json.loads(ended.stdout) == [OLD]
    assert ("plugin", "ocr") in server.requests[0].query


def test_dry_run(call: Run, open_server: OpenServer) -> None:
    """--dry-run gives what would be deleted, and deletes nothing; it asks for no --yes."""
    server = open_server(LIST, GONE)
    ended = call("prune", "--keep", "2", "--dry-run", SYNAPSE_AGENT_URL=server.url)
    assert (ended.returncode, json.loads(ended.stdout), ended.stderr) == (0, [OLD], "")
    assert deleted(server) == []


def test_refused(call: Run, open_server: OpenServer) -> None:
    """Without a criterion, with one that cannot be used, or where it cannot ask, nothing is sent at all."""
    server = open_server(LIST)
    for arguments, expected in {
        "--keep 1": "no terminal to ask on",
        "--plugin ocr --yes": "prune would delete everything",
        "--keep 0 --yes": "--keep",
        "--older-than tomorrow --yes": "--older-than",
        "--older-than= --yes": "--older-than",
        "--older-than 2999-01-01 --yes": "does not lie in the past",
    }.items():
        ended = call("prune", *arguments.split(), SYNAPSE_AGENT_URL=server.url)
        assert (ended.returncode, ended.stdout, expected in ended.stderr) == (2, "", True), arguments
    assert server.requests == []


def test_answer_yes(show: Show, open_server: OpenServer) -> None:
    """On a terminal it shows what would go, asks, and after a yes deletes exactly that."""
    server = open_server(LIST, GONE)
    arrived: list[str] = []

    def answer(screen: Screen) -> None:
        arrived.extend(request.method for request in server.requests)
        screen.type("y\r")

    screen = show("prune", "--keep", "1", columns=60, SYNAPSE_AGENT_URL=server.url, when={QUESTION: answer})
    assert screen.code == 0
    lines = screen.text.splitlines()
    assert [line.split()[2] for line in lines[1:3]] == ["1.1.0", "1.2.0"]
    assert (arrived, lines[-1].strip()) == (["GET"], "2 releases deleted.")
    assert deleted(server) == ["/plugin_releases/1", "/plugin_releases/2"]
    assert len(server.requests) == 3  # the list is read once


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [("\r", 0, "Nothing was deleted."), ("n\r", 0, "Nothing was deleted."), ("\x04", 130, "Interrupted.")],
    ids=["Enter", "no", "Ctrl-D"],
)
def test_answer_no(show: Show, open_server: OpenServer, keys: str, code: int, said: str) -> None:
    """Any other answer deletes nothing."""
    server = open_server(LIST, GONE)
    answer = {QUESTION: lambda screen: screen.type(keys)}
    screen = show("prune", "--keep", "1", SYNAPSE_AGENT_URL=server.url, when=answer)
    assert screen.code == code
    assert said in screen.text
    assert "Traceback" not in screen.text
    assert deleted(server) == []


def test_nothing_to_delete(show: Show, open_server: OpenServer) -> None:
    """Where nothing is old it does not ask, and says so."""
    screen = show("prune", "--keep", "3", SYNAPSE_AGENT_URL=open_server(LIST).url)
    assert (screen.code, screen.text) == (0, "0 releases deleted.")


def test_somebody_else_deleted_one(call: Run, open_server: OpenServer) -> None:
    """A release that is gone by then is no failure, and not among what was deleted."""
    server = open_server(LIST, reply({"detail": "There is no release 1."}, 404), GONE)
    ended = call("prune", "--keep", "1", "--yes", SYNAPSE_AGENT_URL=server.url)
    assert (ended.returncode, json.loads(ended.stdout)) == (0, [MIDDLE])


def test_deletion_that_fails(call: Run, open_server: OpenServer) -> None:
    """Where a deletion fails it ends, and says how many were deleted by then."""
    server = open_server(LIST, GONE, reply({"detail": "in use"}, 409))
    ended = call("prune", "--keep", "1", "--yes", SYNAPSE_AGENT_URL=server.url)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert "1 of 2 releases were deleted." in ended.stderr
