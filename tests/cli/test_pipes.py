"""The commands in pipes: JSON on stdout, everything else on stderr, exit codes, and shell completion."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synapse_agent_sdk.cli import completion

from tests.wire.faults import RELEASE, hang_up, page, reply, silence

if TYPE_CHECKING:
    from tests.cli.conftest import Ended, OpenServer, Run
    from tests.threaded_agent import ThreadedAgent

NO_VARIABLES: dict[str, Any] = {"SYNAPSE_AGENT_URL": None, "SYNAPSE_AGENT_TOKEN": None}
LETTERS = "\u2713 \ud55c\uad6d\uc5b4 \U0001f600 caf\u00e9"
REFUSED = reply({"detail": "The token is missing."}, 401)


def result_of(ended: Ended) -> Any:
    """Return the result of a command, and assert that it succeeded without messages."""
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def failure_of(ended: Ended, code: int) -> str:
    """Return the stderr of a failed command: one error line, at most one hint, and no stdout."""
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    first, *more = ended.stderr.splitlines()
    assert [first[:7], *(line[:6] for line in more)] in (["Error: "], ["Error: ", "Hint: "])
    return ended.stderr


def write_config(folder: Path, text: str) -> Path:
    """Write the user's config file with mode 0600, and return its path."""
    file = folder / "home" / ".config" / "synapse-agent" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file


def test_releases_from_creation_to_deletion(call: Run) -> None:
    """Releases are created, shown, listed and deleted, with only JSON on stdout."""
    assert result_of(call("health"))["status"] == "ok"
    assert [release["version"] for release in result_of(call("list"))] == ["1.1.0", "1.0.0"]
    assert [release["version"] for release in result_of(call("list", "--limit", "1"))] == ["1.1.0"]
    assert call("list", "-q").stdout == "tool@1.1.0\ntool@1.0.0\n"
    created = result_of(call("create", "other@1.0.0"))
    assert (created["plugin"], created["version"]) == ("other", "1.0.0")
    assert result_of(call("get", "other@1.0.0")) == result_of(call("get", str(created["id"]))) == created
    assert result_of(call("list", "--filter", "plugin=other")) == [created]
    ended = call("delete", "nosuch@1", "other@1.0.0", "nosuch@2")  # tries each
    assert (ended.returncode, json.loads(ended.stdout)) == (3, {"deleted": ["other@1.0.0"]})
    assert [f"There is no release nosuch@{number}." in ended.stderr for number in (1, 2)] == [True, True]
    assert result_of(call("list", "--plugin", "other")) == []


def test_run_with_parameters(run: Run, call: Run, tmp_path: Path) -> None:
    """An action gets its parameters from -p, files and stdin, and its result is on stdout."""
    (tmp_path / "p.json").write_text('{"top": 3, "options": {"lang": "ko"}}')
    (tmp_path / "note.txt").write_text("two\nlines\n")
    parameters = ["-p", "top=5", "--param", "options.fast=true", "-p", "note=@note.txt", "-p", "in=-"]
    ended = run("run", "tool@1.0.0", "echo", *parameters, "--params-file", "p.json", stdin="[1, 2]")
    options = {"lang": "ko", "fast": True}
    assert result_of(ended) == {"top": 5, "options": options, "note": "two\nlines\n", "in": [1, 2]}
    assert result_of(call("run", "tool@1.0.0", "echo", "--params-file", "-", stdin='{"a": 1}')) == {"a": 1}


def test_run_sends_what_is_given_once(call: Run, open_server: OpenServer) -> None:
    """A run sends exactly the given options; if the connection is lost it is not retried, but its key is shown."""
    server = open_server(reply({"done": True}), hang_up)
    key = str(uuid.uuid4())
    options = ["--requirement", "pillow>=9", "--requirement", "numpy", "--job-id", "j1", "--language", "ko"]
    assert result_of(call("run", "7", "train", *options, "--idempotency-key", key, at=server)) == {"done": True}
    stderr = failure_of(call("run", "7", "train", "--job-id", "j1", at=server), 5)
    assert "train of 7 may still be running on the agent (job id j1)" in stderr
    request, broken = server.requests
    sent = (request.method, request.path, request.headers["idempotency-key"])
    assert sent == ("POST", "/plugin_releases/7/run/", key)
    requirements = ["pillow>=9", "numpy"]
    assert request.json == {"action": "train", "requirements": requirements, "job_id": "j1", "language": "ko"}
    assert f"--idempotency-key {broken.headers['idempotency-key']}" in stderr


def test_debug_runs_a_folder_and_modules(
    agent: ThreadedAgent, call: Run, open_server: OpenServer, tmp_path: Path
) -> None:
    """An action runs from a source folder (default: the current one) or from modules, with overridden settings."""
    folder = agent._options["registry"] / "tool-1.0.0"
    renamed = ["--set", "actions.again.entrypoint=plugin:echo"]
    assert result_of(call("debug", "again", "--plugin-path", folder, *renamed, "-p", "a=2")) == {"a": 2}
    (tmp_path / "m.py").write_text("def double(number): return 2 * number")
    module = ["--module", "numbers_plugin=m.py", "--set", "actions.double.entrypoint=numbers_plugin:double"]
    assert result_of(call("debug", "double", *module, "-p", "number=21")) == 42
    ended = call("debug", "fail", "--plugin-path", folder)  # debug runs show where they failed
    assert (ended.returncode, ended.stdout) == (1, "")
    assert 'raise ValueError("the disk is gone")' in ended.stderr
    assert ended.stderr.splitlines()[-1] == "Error: The action failed: ValueError: the disk is gone (500)"
    server = open_server(reply(1))
    for arguments in ([], ["--plugin-path", "plugins"]):
        call("debug", "train", *arguments, at=server)
    assert [request.json["plugin_path"] for request in server.requests] == [str(tmp_path), str(tmp_path / "plugins")]


FAILURES = {
    "run tool@1.0.0 fail": (1, "The action failed: ValueError: the disk is gone"),
    "run tool@1.0.0 echo -p top": (2, "-p 'top' has no value"),
    "run tool@1.0.0 echo -p a=@nosuch": (2, "Cannot read file 'nosuch': No such file"),
    "run tool@1.0.0 echo -p a=- --token-stdin": (2, "both read stdin"),
    "run tool@1.0.0 echo --idempotency-key 1": (2, "--idempotency-key must be a UUID"),
    "run tool@1.0.0 echo a=1": (2, "Pass parameters with -p"),
    "create tool": (2, "'tool' is not CODE@VERSION"),
    "list --filter plugin": (2, "Invalid --filter 'plugin'"),
    "list --token secret-1": (2, "--token-file"),  # every user of the machine could see it in `ps`
    "list --url http://u:secret-1@127.0.0.1": (2, "tokens with --token-file"),
    "list --token-file token --token-stdin": (2, "cannot be combined"),
    "get tool@9.9.9": (3, "There is no release tool@9.9.9"),
    "create nosuch@1.0.0": (3, "nosuch"),
    "debug train": (4, "use --plugin-path FOLDER"),
}


def test_failure(call: Run) -> None:
    """A failure is one error line on stderr, at most one hint, and an exit code."""
    for command, (code, expected) in FAILURES.items():
        stderr = failure_of(call(*command.split(), stdin="x"), code)
        assert expected in stderr, command
        assert "secret-1" not in stderr
    assert "--token-stdin: stdin is empty" in failure_of(call("list", "--token-stdin"), 2)


def test_debug_option_shows_the_traceback_without_secrets(call: Run, open_server: OpenServer) -> None:
    """--debug shows the traceback without tokens, even if the agent repeats them."""
    secrets = {"SYNAPSE_USER_TOKEN": "user-secret-1", "SYNAPSE_TENANT": "tenant-secret-1"}
    secrets["SYNAPSE_AGENT_TOKEN"] = "agent-secret-1"
    detail = " ".join(secrets.values())
    server = open_server(reply({"detail": f"ValueError: {detail}\n\n{detail}", "error_type": "action_failed"}, 500))
    ended = call("--debug", "run", "7", "train", at=server, **secrets)
    assert (ended.returncode, "Traceback (most recent call last):" in ended.stderr) == (1, True)
    assert "ActionFailedError" in ended.stderr
    assert "secret-1" not in ended.stderr.replace("(secret)", "")
    assert server.requests[0].headers["authorization"] == "agent-secret-1"  # it was sent
    assert "Traceback" not in call("run", "7", "train", at=server).stderr


def test_lists_of_odd_agents(call: Run, open_server: OpenServer) -> None:
    """A truncated list is invalid JSON and has an error exit code; an agent may ignore --plugin and --limit."""
    ended = call("list", at=open_server(reply(page([RELEASE], 2, following="?page=2")), reply({"detail": "gone"}, 404)))
    assert (ended.returncode, ended.stdout[:10]) == (3, '[\n{"id": 7')
    with pytest.raises(json.JSONDecodeError):
        json.loads(ended.stdout)
    releases = [{**RELEASE, "id": number, "plugin": ("other", "ocr_plugin")[number % 2]} for number in range(6)]
    server = open_server(reply(page(releases, 6)))
    listed = result_of(call("list", "--plugin", "ocr_plugin", "--limit", "2", at=server))
    assert [release["id"] for release in listed] == [1, 3]
    assert "plugin=ocr_plugin" in server.requests[0].target


def test_where_the_output_goes(run: Run, open_server: OpenServer) -> None:
    """A closed pipe ends a command silently; a full disk is one error line; results print in any encoding."""
    releases = [{**RELEASE, "version": f"1.0.{number}+{'b' * 200}"} for number in range(100)]
    server = open_server(reply(page(releases, 100)))  # more than a buffer holds
    for command, at in {"list": server, "get tool@1.0.0": None, "doctor": None}.items():
        reading, writing = os.pipe()
        os.close(reading)
        ended = run(*command.split(), stdout=writing, at=at)
        os.close(writing)
        assert (ended.returncode, ended.stderr) == (141, ""), command
    with Path("/dev/full").open("w") as full:
        ended = run("list", stdout=full.fileno())
    assert (ended.returncode, ended.stderr) == (1, "Error: Cannot write the result: No space left on device\n")
    for encoding in ("ascii", "utf-8"):
        ended = run("run", "tool@1.0.0", "echo", "-p", f"text={LETTERS}", PYTHONIOENCODING=encoding)
        assert (result_of(ended), LETTERS in ended.stdout) == ({"text": LETTERS}, encoding == "utf-8")


def test_tokens(call: Run, agent: ThreadedAgent, open_server: OpenServer, tmp_path: Path) -> None:
    """Tokens come from profiles, files, stdin and variables; a profile's go only to its URL; a rejection says whose."""
    away, other = open_server(REFUSED), open_server(REFUSED)
    file = write_config(
        tmp_path,
        f'default_profile = "away"\n[profiles.here]\nurl = "{agent.url}"\ntoken_file = "agent-token"\n'
        f'[profiles.away]\nurl = "{away.url}"\ntoken = "secret-1-away"\nuser_token = "away-user"\n',
    ).with_name("agent-token")
    file.write_text(agent.token + "\n")
    file.chmod(0o600)
    for arguments in (["list", "--profile", "here"], ["--profile", "here", "list"], ["list", "--token-file", file]):
        assert len(result_of(call(*arguments, SYNAPSE_AGENT_TOKEN="secret-1"))) == 2
    result_of(call("list", "--token-stdin", stdin=agent.token + "\n", SYNAPSE_AGENT_TOKEN="secret-1"))
    for given, expected in (
        ({}, "The token came from profile away"),
        ({"SYNAPSE_AGENT_TOKEN": "secret-1-mine"}, "The token came from SYNAPSE_AGENT_TOKEN"),
        ({"SYNAPSE_AGENT_URL": other.url}, "The token of profile away is only sent to its own URL"),
    ):
        shown = failure_of(call("list", **{**NO_VARIABLES, **given}), 4)
        assert (expected in shown, "secret-1" in shown) == (True, False)
    assert [request.headers["authorization"] for request in away.requests] == ["secret-1-away", "secret-1-mine"]
    assert {"authorization", "synapse-user"}.isdisjoint(other.requests[0].headers)
    file.chmod(0o644)
    assert f"chmod 600 {file}" in failure_of(call("list", "--profile", "here", **NO_VARIABLES), 2)
    file.with_name("config.toml").unlink()
    assert "No token was sent" in failure_of(call("list", SYNAPSE_AGENT_TOKEN=None), 4)


def test_version_and_help(call: Run) -> None:
    """The version and the help of every command are printed on stdout; without arguments, the help is."""
    assert call("--version").stdout.startswith("synapse-agent 0.")
    commands = ["list", "get", "create", "run", "debug", "delete", "prune", "health", "doctor", "serve"]
    helps = [call(), call("-h"), *(call(name, "--help", COLUMNS="60") for name in commands)]
    assert {(ended.returncode, ended.stderr) for ended in helps} == {(0, "")}
    assert [name for name in commands if f"\n  {name} " not in helps[0].stdout] == []
    assert "4 refused, 5 unreachable" in helps[0].stdout
    assert [line for ended in helps[2:] for line in ended.stdout.splitlines() if len(line) > 60] == []


def completed(call: Run, line: str, **variables: Any) -> list[str]:
    """The completions that bash gets at the end of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    ended = call(_SYNAPSE_AGENT_COMPLETE="complete_bash", **words, **variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def test_bash_completes(call: Run, open_server: OpenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, options, cached releases and profiles are completed; on errors there are no completions."""
    write_config(tmp_path, "[profiles.staging]\n[profiles.stable]\n[profiles.local]\n")
    for line, expected in {
        "synapse-agent pr": ["prune"],
        "synapse-agent prune --old": ["--older-than"],
        "synapse-agent get to": ["tool@1.1.0", "tool@1.0.0"],
        "synapse-agent run tool@1.0": ["tool@1.0.0"],
        "synapse-agent get --url http://127.0.0.1:1 to": [],
        "synapse-agent --url http://127.0.0.1:1 delete x@1 to": [],
        "synapse-agent list --profile sta": ["staging", "stable"],
    }.items():
        assert completed(call, line) == expected, line
    write_config(tmp_path, "[profiles")
    assert completed(call, "synapse-agent list --profile sta") == []
    monkeypatch.setattr(completion, "SECONDS", 0.05)
    assert completed(call, "synapse-agent get to", at=open_server(silence)) == []
