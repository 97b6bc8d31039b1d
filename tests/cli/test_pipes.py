"""The commands in pipes: JSON on stdout, everything else on stderr, and an exit code."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.wire.faults import body, hang_up, page, reply

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import OpenServer, Run
    from tests.threaded_agent import ThreadedAgent

RELEASE = {"id": 7, "plugin": "ocr_plugin", "version": "2.0.0"}
NO_VARIABLES: dict[str, Any] = {"SYNAPSE_AGENT_URL": None, "SYNAPSE_AGENT_TOKEN": None}
LETTERS = "\u2713 \ud55c\uad6d\uc5b4 \U0001f600 caf\u00e9"


def result_of(ended: subprocess.CompletedProcess[str]) -> Any:
    """The result of a command that succeeded, and said nothing beside it."""
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def failure_of(ended: subprocess.CompletedProcess[str], code: int) -> str:
    """What a command said that failed with a code: a line, and at most one more with a hint; nothing on stdout."""
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("Error: ")
    assert [line for line in lines[1:] if not line.startswith("Hint: ")] == []
    assert len(lines) < 3
    return ended.stderr


def config(path: Path, text: str) -> Path:
    """Write the profiles of the user whose home this is, and return their folder."""
    file = path / "home" / ".config" / "synapse-agent" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file.parent


def test_release_from_its_creation_to_its_deletion(call: Run) -> None:
    """A release is created, shown, listed and deleted, each with its JSON alone on stdout."""
    created = result_of(call("create", "other@1.0.0"))
    assert (created["plugin"], created["version"]) == ("other", "1.0.0")
    assert result_of(call("get", "other@1.0.0")) == result_of(call("get", str(created["id"]))) == created
    assert result_of(call("list", "--plugin", "other")) == [created]
    assert result_of(call("list", "--filter", "plugin=other")) == [created]
    assert result_of(call("delete", "other@1.0.0")) == {"deleted": ["other@1.0.0"]}
    assert result_of(call("list", "--plugin", "other")) == []


def test_list(call: Run) -> None:
    """A list has all releases, or at most a number of them; --quiet gives their names, one a line."""
    assert [release["version"] for release in result_of(call("list"))] == ["1.1.0", "1.0.0"]
    assert [release["version"] for release in result_of(call("list", "--limit", "1"))] == ["1.1.0"]
    ended = call("list", "-q")
    assert (ended.stdout, ended.stderr) == ("tool@1.1.0\ntool@1.0.0\n", "")
    assert result_of(call("health"))["status"] == "ok"


def test_run_with_parameters(run: Run, call: Run, tmp_path: Path) -> None:
    """An action gets its parameters from -p, from files and from standard input, and its result is on stdout."""
    (tmp_path / "p.json").write_text('{"top": 3, "options": {"lang": "ko"}}')
    (tmp_path / "note.txt").write_text("two\nlines\n")
    parameters = ["-p", "top=5", "-p", "path=README.md", "--param", "options.fast=true", "-p", "note=@note.txt"]
    ended = run("run", "tool@1.0.0", "echo", *parameters, "--params-file", "p.json", "-p", "in=-", stdin="[1, 2]")
    assert result_of(ended) == {
        "top": 5,
        "options": {"lang": "ko", "fast": True},
        "path": "README.md",
        "note": "two\nlines\n",
        "in": [1, 2],
    }
    assert result_of(call("run", "tool@1.0.0", "echo", "--params-file", "-", stdin='{"a": 1}')) == {"a": 1}


def test_run_sends_what_is_given(call: Run, open_server: OpenServer) -> None:
    """Action, parameters, requirements, job id, language and key arrive as they were given, and nothing else does."""
    server = open_server(reply({"done": True}))
    key = str(uuid.uuid4())
    options = ["--requirement", "pillow>=9", "--requirement", "numpy", "--job-id", "j1", "--language", "ko"]
    ended = call("run", "7", "train", *options, "--idempotency-key", key, SYNAPSE_AGENT_URL=server.url)
    assert result_of(ended) == {"done": True}
    (request,) = server.requests
    sent = (request.method, request.path, request.headers["idempotency-key"])
    assert sent == ("POST", "/plugin_releases/7/run/", key)
    requirements = ["pillow>=9", "numpy"]
    assert request.json == {"action": "train", "requirements": requirements, "job_id": "j1", "language": "ko"}


def test_debug_runs_a_folder_and_modules(agent: ThreadedAgent, call: Run, tmp_path: Path) -> None:
    """An action runs from a folder of sources, with settings laid over its own, and from modules alone."""
    folder = agent._options["registry"] / "tool-1.0.0"
    renamed = ["--set", "actions.again.entrypoint=plugin:echo"]
    assert result_of(call("debug", "again", "--plugin-path", folder, *renamed, "-p", "a=2")) == {"a": 2}
    (tmp_path / "m.py").write_text("def double(number): return 2 * number")
    module = ["--module", "numbers_plugin=m.py", "--set", "actions.double.entrypoint=numbers_plugin:double"]
    assert result_of(call("debug", "double", *module, "-p", "number=21")) == 42
    ended = call("debug", "fail", "--plugin-path", folder)  # who runs from source sees where it failed
    assert (ended.returncode, ended.stdout) == (1, "")
    assert 'raise ValueError("the disk is gone")' in ended.stderr
    assert ended.stderr.splitlines()[-1] == "Error: The action failed: ValueError: the disk is gone (500)"


def test_debug_takes_the_current_folder(call: Run, open_server: OpenServer, tmp_path: Path) -> None:
    """Without a folder the current one is named, and a relative one becomes absolute: the agent's is another."""
    server = open_server(reply(1))
    for arguments in ([], ["--plugin-path", "plugins"]):
        call("debug", "train", *arguments, SYNAPSE_AGENT_URL=server.url)
    assert [request.json["plugin_path"] for request in server.requests] == [str(tmp_path), str(tmp_path / "plugins")]


FAILURES = {
    "run tool@1.0.0 fail": (1, "The action failed: ValueError: the disk is gone"),
    "run tool@1.0.0 echo -p top": (2, "-p 'top' has no value"),
    "run tool@1.0.0 echo -p a=@nosuch": (2, "The file 'nosuch' cannot be read: No such file"),
    "run tool@1.0.0 echo -p a=- -p b=-": (2, "both read standard input"),
    "run tool@1.0.0 echo --idempotency-key 1": (2, "--idempotency-key must be a UUID"),
    "run tool@1.0.0 echo a=1": (2, "A parameter has -p before it"),
    "run tool@1.0.0": (2, "Missing argument"),
    "lst": (2, "Did you mean 'list'?"),
    "get tool": (2, "'tool' names no release"),
    "create tool": (2, "'tool' is no CODE@VERSION"),
    "list --filter plugin": (2, "'plugin' is no filter"),
    "list --limit 0": (2, "--limit"),
    "list --token secret-1": (2, "--token-file"),  # every user of the machine could read it there
    "list --url http://u:secret-1@127.0.0.1": (2, "give tokens by --token-file"),
    "list --profile nosuch": (2, "no profile 'nosuch'"),
    "list --token-file nosuch": (2, "nosuch cannot be read"),
    "list --token-stdin": (2, "nothing came on standard input"),
    "get tool@9.9.9": (3, "There is no release tool@9.9.9"),
    "create nosuch@1.0.0": (3, "nosuch"),
    "run tool@1.0.0 nosuch": (4, "There is no action 'nosuch'"),
    "debug train": (4, "--plugin-path FOLDER names others"),
    "debug train --plugin-path /": (4, "outside the folders"),
}


def test_failure(call: Run) -> None:
    """What fails is one line on stderr that says what, at most one more that says what to do, and an exit code."""
    for command, (code, expected) in FAILURES.items():
        said = failure_of(call(*command.split()), code)
        assert expected in said, command
        assert "secret-1" not in said


def test_refused_token_says_where_it_came_from(call: Run) -> None:
    """A token that the agent refuses is exit code 4, and the hint says which one it was, without showing it."""
    said = failure_of(call("list", SYNAPSE_AGENT_TOKEN="wrong-secret"), 4)
    assert ("SYNAPSE_AGENT_TOKEN" in said, "wrong-secret" in said) == (True, False)
    assert "No token was sent" in failure_of(call("list", SYNAPSE_AGENT_TOKEN=None), 4)


def test_page_of_a_proxy(call: Run, open_server: OpenServer) -> None:
    """An answer in HTML is told in one line without the page, with an exit code by its status."""
    server = open_server(body(b"<html><h1>Oh no</h1></html>", 404, {"Content-Type": "text/html"}))
    said = failure_of(call("run", "7", "train", SYNAPSE_AGENT_URL=server.url), 3)
    assert "The answer was 404 with a page of HTML" in said
    assert "URL of an agent" in said


def test_delete_goes_on_after_a_failure(call: Run) -> None:
    """Of several releases each is tried; what was deleted is on stdout, and what was not on stderr."""
    call("create", "other@1.0.0")
    ended = call("delete", "nosuch@1", "other@1.0.0", "nosuch@2")
    assert (ended.returncode, json.loads(ended.stdout)) == (3, {"deleted": ["other@1.0.0"]})
    assert "There is no release nosuch@1." in ended.stderr
    assert "There is no release nosuch@2." in ended.stderr


def test_debug_option_shows_the_traceback_without_secrets(call: Run, open_server: OpenServer) -> None:
    """--debug shows where it failed, and no token of anyone, even where the agent repeats it."""
    secrets = {"SYNAPSE_USER_TOKEN": "user-secret-1", "SYNAPSE_TENANT": "tenant-secret-1"}
    secrets["SYNAPSE_AGENT_TOKEN"] = "agent-secret-1"
    said = " ".join(secrets.values())
    server = open_server(reply({"detail": f"ValueError: {said}\n\n{said}", "error_type": "action_failed"}, 500))
    ended = call("--debug", "run", "7", "train", SYNAPSE_AGENT_URL=server.url, **secrets)
    assert ended.returncode == 1
    assert "Traceback (most recent call last):" in ended.stderr
    assert "ActionFailedError" in ended.stderr
    assert "secret-1" not in ended.stderr.replace("(secret)", "")
    assert server.requests[0].headers["authorization"] == "agent-secret-1"  # it was really sent
    assert "Traceback" not in call("run", "7", "train", SYNAPSE_AGENT_URL=server.url).stderr


def test_connection_that_breaks_during_a_run(call: Run, open_server: OpenServer) -> None:
    """A run whose connection breaks is not sent again; its job id, and the key that was sent, are told."""
    server = open_server(hang_up)
    said = failure_of(call("run", "7", "train", "--job-id", "j1", SYNAPSE_AGENT_URL=server.url), 5)
    assert "train of 7 may go on on the agent (job id j1)" in said
    (request,) = server.requests
    assert f"--idempotency-key {request.headers['idempotency-key']}" in said


def test_list_whose_pages_break_off(call: Run, open_server: OpenServer) -> None:
    """Pages come out as they are read; where a later one fails, the exit code says so, and it is no whole list."""
    server = open_server(reply(page([RELEASE], 2, following="?page=2")), reply({"detail": "gone"}, 404))
    ended = call("list", SYNAPSE_AGENT_URL=server.url)
    assert ended.returncode == 3
    assert ended.stdout.startswith('[\n{"id": 7')
    with pytest.raises(json.JSONDecodeError):
        json.loads(ended.stdout)


def test_agent_that_ignores_the_filter(call: Run, open_server: OpenServer) -> None:
    """--plugin lists that plugin's alone where the agent ignores the filter, and --limit counts those."""
    releases = [{**RELEASE, "id": number, "plugin": ("other", "ocr_plugin")[number % 2]} for number in range(6)]
    server = open_server(reply(page(releases, 6)))
    listed = result_of(call("list", "--plugin", "ocr_plugin", "--limit", "2", SYNAPSE_AGENT_URL=server.url))
    assert [release["id"] for release in listed] == [1, 3]
    assert "plugin=ocr_plugin" in server.requests[0].target


@pytest.mark.parametrize("command", ["list", "get tool@1.0.0", "doctor"])
def test_reader_that_has_read_enough(run: Run, open_server: OpenServer, command: str) -> None:
    """Where the reader of its output goes away, a command ends without a word, as other programs do."""
    releases = [{**RELEASE, "version": f"1.0.{number}+{'b' * 200}"} for number in range(100)]
    long = {"SYNAPSE_AGENT_URL": open_server(reply(page(releases, 100))).url}  # more than a buffer holds
    reading, writing = os.pipe()
    os.close(reading)
    ended = run(*command.split(), stdout=writing, **(long if command == "list" else {}))
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_output_that_cannot_be_written(run: Run) -> None:
    """A full disk is one line, and exit code 1."""
    with Path("/dev/full").open("w") as full:
        ended = run("list", stdout=full.fileno())
    assert (ended.returncode, ended.stderr) == (1, "Error: The result cannot be written: No space left on device\n")


def test_output_in_any_encoding(run: Run, call: Run) -> None:
    """Whatever the encoding of the output, it is JSON, and the same."""
    command = ["run", "tool@1.0.0", "echo", "-p", f"text={LETTERS}"]
    assert result_of(run(*command, PYTHONIOENCODING="ascii")) == {"text": LETTERS}
    ended = call(*command)
    assert LETTERS in ended.stdout
    assert result_of(ended) == {"text": LETTERS}


def test_profile(call: Run, agent: ThreadedAgent, open_server: OpenServer, tmp_path: Path) -> None:
    """A profile has the URL and the token, the default one without being named; a file of a token is beside it."""
    away = open_server(reply({"detail": "no"}, 401))
    file = config(
        tmp_path,
        f'default_profile = "away"\n[profiles.here]\nurl = "{agent.url}"\ntoken_file = "agent-token"\n'
        f'[profiles.away]\nurl = "{away.url}"\ntoken = "away-token"\n',
    ).joinpath("agent-token")
    file.write_text(agent.token + "\n")
    file.chmod(0o600)
    assert len(result_of(call("list", "--profile", "here", **NO_VARIABLES))) == 2
    assert len(result_of(call("--profile", "here", "list", **NO_VARIABLES))) == 2
    failure_of(call("list", **NO_VARIABLES), 4)
    assert [request.headers["authorization"] for request in away.requests] == ["away-token"]
    file.chmod(0o644)
    assert f"chmod 600 {file}" in failure_of(call("list", "--profile", "here", **NO_VARIABLES), 2)


def test_tokens_of_a_profile_stay_with_its_url(call: Run, open_server: OpenServer, tmp_path: Path) -> None:
    """A URL that is given beside a profile gets none of the profile's tokens, and the hint says so."""
    tokens = 'token = "away-token"\nuser_token = "away-user"\n'
    config(tmp_path, f'default_profile = "away"\n[profiles.away]\nurl = "http://127.0.0.1:1"\n{tokens}')
    server = open_server(reply({"detail": "The token is missing."}, 401))
    assert "profile away" in failure_of(call("list", "--url", server.url, **NO_VARIABLES), 4)
    (request,) = server.requests
    assert {"authorization", "synapse-user"}.isdisjoint(request.headers)


def test_token_of_a_file_or_of_standard_input(call: Run, open_server: OpenServer, tmp_path: Path) -> None:
    """--token-file and --token-stdin come before the variable, and both at once are refused."""
    (tmp_path / "token").write_text("file-token\n")
    (tmp_path / "token").chmod(0o600)
    server = open_server(reply(page([], 0)))
    call("list", "--token-file", "token", SYNAPSE_AGENT_URL=server.url)
    call("list", "--token-stdin", stdin="stdin-token\n", SYNAPSE_AGENT_URL=server.url)
    assert [request.headers["authorization"] for request in server.requests] == ["file-token", "stdin-token"]
    both = call("list", "--token-file", "token", "--token-stdin", stdin="x", SYNAPSE_AGENT_URL=server.url)
    assert "both give the token" in failure_of(both, 2)
    again = call("run", "7", "train", "-p", "a=-", "--token-stdin", stdin="x", SYNAPSE_AGENT_URL=server.url)
    assert "both read standard input" in failure_of(again, 2)


def test_version_and_help(call: Run) -> None:
    """The version, and the help of every command, are on stdout; without arguments the help is, too."""
    assert call("--version").stdout.startswith("synapse-agent 0.")
    commands = ["list", "get", "create", "run", "debug", "delete", "prune", "health", "doctor", "serve"]
    for arguments in ([], ["-h"]):
        ended = call(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert [name for name in commands if f"\n  {name} " not in ended.stdout] == []
        assert "4 refused, 5 unreachable" in ended.stdout
    for name in commands:
        ended = call(name, "--help", COLUMNS="60")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert [line for line in ended.stdout.splitlines() if len(line) > 60] == []
