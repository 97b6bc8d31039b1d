"""The doctor: what it finds over the wire, and in the environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import synapse_sdk
from synapse_sdk import _program
from synapse_sdk.cli import doctor
from synapse_sdk.cli.profiles import Config, Connection

from tests.wire.faults import body, page, reply

if TYPE_CHECKING:
    from tests.cli.conftest import OpenServer, Run

WELL = reply({"status": "ok", "version": "2.3.4"})
SKIPPED = "not looked at, for what is wrong above"


def contract(version: Any) -> Any:
    """An answer with an OpenAPI document of a version."""
    return reply({"openapi": "3.1.0", "info": {"title": "Agent API", "version": version}})


def findings(call: Run, code: int, **variables: Any) -> dict[str, dict[str, str]]:
    """What the doctor finds, by check."""
    ended = call("doctor", **variables)
    result = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, result["ok"]) == (code, "", code == 0)
    return {each["check"]: each for each in result["checks"]}


def test_well(call: Run) -> None:
    """With a real agent and its token all is well, and each check says what it found."""
    found = findings(call, 0)
    assert {each["state"] for each in found.values()} == {"ok"}
    assert found["contract"]["found"] == "1.0.0, which this SDK speaks"
    assert found["token"]["found"] == "accepted (from SYNAPSE_AGENT_TOKEN)"
    assert found["url"]["found"].endswith("(from SYNAPSE_AGENT_URL)")


def test_wrong_token(call: Run) -> None:
    """A token that is refused is found, with where it came from, and not shown."""
    found = findings(call, 1, SYNAPSE_AGENT_TOKEN="wrong-token")
    assert found["agent"]["state"] == "ok"
    assert found["token"]["state"] == "wrong"
    assert "SYNAPSE_AGENT_TOKEN" in found["token"]["todo"]
    assert "wrong-token" not in json.dumps(found)


@pytest.mark.parametrize(
    ("url", "check", "expected"),
    [
        (None, "url", "Give --url"),
        ("127.0.0.1:8600", "url", "http://127.0.0.1:8600"),
        ("http://user:secret-1@127.0.0.1", "url", "http://127.0.0.1:8600"),
        ("http://127.0.0.1:1", "agent", "synapse-agent serve"),
        ("https://127.0.0.1:1", "agent", "synapse-agent serve"),
    ],
)
def test_wrong_url(call: Run, url: str | None, check: str, expected: str) -> None:
    """A URL that is missing, none, or leads nowhere is found, and what leans on it is not looked at."""
    found = findings(call, 1, SYNAPSE_AGENT_URL=url)
    assert found[check]["state"] == "wrong"
    assert expected in found[check]["todo"]
    assert found["token"] == {"check": "token", "state": "skipped", "found": SKIPPED, "todo": ""}
    assert "secret-1" not in json.dumps(found)


def test_page_that_is_no_agent(call: Run, open_server: OpenServer) -> None:
    """A server that is no agent is found to be none."""
    server = open_server(body(b"<html>It works!</html>", 200, {"Content-Type": "text/html"}))
    found = findings(call, 1, SYNAPSE_AGENT_URL=server.url)
    assert (found["agent"]["state"], "URL of an agent?" in found["agent"]["todo"]) == ("wrong", True)


@pytest.mark.parametrize(
    ("answer", "code", "state", "expected"),
    [
        (contract("1.0.0"), 0, "ok", "1.0.0, which this SDK speaks"),
        (contract("1.7.2"), 0, "ok", "1.7.2, which this SDK speaks"),
        (contract("2.0.0"), 1, "wrong", "the agent speaks 2.0.0, and this SDK 1.0.0"),
        (contract("0.9.0"), 1, "wrong", "the agent speaks 0.9.0, and this SDK 1.0.0"),
        (contract(None), 0, "note", "does not say"),
        (reply([1, 2]), 0, "note", "does not say"),
        (reply({"detail": "Not Found"}, 404), 0, "note", "does not say"),
        (body(b"<html></html>", 200, {"Content-Type": "text/html"}), 0, "note", "does not say"),
    ],
)
def test_contract_of_the_agent(
    call: Run, open_server: OpenServer, answer: Any, code: int, state: str, expected: str
) -> None:
    """The version of the agent's contract is compared, where it has one; another major version is wrong."""
    server = open_server(WELL, answer, reply(page([], 0)))
    found = findings(call, code, SYNAPSE_AGENT_URL=server.url)
    assert (found["contract"]["state"], found["token"]["state"]) == (state, "ok")
    assert expected in found["contract"]["found"]
    assert found["agent"]["found"].startswith("ok, version 2.3.4, in ")
    assert [request.path for request in server.requests] == ["/health/", "/openapi.json", "/plugin_releases/"]


def test_newer_and_older_contracts() -> None:
    """What to update is the older side."""
    assert doctor.contract({"info": {"version": "2.0.0"}}, "1.0.0").todo == "The agent is newer: update the SDK."
    assert doctor.contract({"info": {"version": "1.0.0"}}, "10.0.0").todo == "The SDK is newer: update the agent."
    assert doctor.contract({"info": {"version": "1.1.0"}}, "1.2.0").state == "note"
    assert doctor.contract({"info": {"version": "1.1.0"}}, None).state == "note"


def test_agent_that_is_not_well(call: Run, open_server: OpenServer) -> None:
    """An agent that answers, and says that it is not well, is noted."""
    server = open_server(reply({"status": "degraded"}), contract("1.0.0"), reply(page([], 0)))
    assert findings(call, 0, SYNAPSE_AGENT_URL=server.url)["agent"]["state"] == "note"


def test_proxy_before_this_machine(call: Run) -> None:
    """A proxy that the environment puts before an agent of this machine is found, without its password."""
    found = findings(call, 1, HTTP_PROXY="http://user:secret-1@10.0.0.1:3128", NO_PROXY=None, no_proxy=None)
    assert found["proxy"]["found"].startswith("http://10.0.0.1:3128 for 127.0.0.1")
    assert found["proxy"]["todo"] == "export NO_PROXY=127.0.0.1"
    assert "secret-1" not in json.dumps(found)
    assert findings(call, 0, HTTP_PROXY="http://10.0.0.1:3128", NO_PROXY="127.0.0.1")["proxy"]["found"] == "none"
    assert findings(call, 1, HTTP_PROXY="http://[::1", NO_PROXY=None, no_proxy=None)["proxy"]["state"] == "wrong"


def test_proxy_before_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy before another machine is told, and so is one of this machine before this machine."""
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    for url in ("http://agents.example.com", "http://localhost:8600"):
        assert doctor.proxy(url) == doctor.Finding("proxy", "ok", "http://127.0.0.1:3128 (from the environment)")


def test_published_package_beside_ours(tmp_path: Path) -> None:
    """The published package over the same import name is found, with the command that mends it."""
    (tmp_path / "synapse_sdk-1.0.0.dist-info").mkdir()
    found = doctor.packages([str(tmp_path)])
    assert (found.state, str(tmp_path) in found.found) == ("wrong", True)
    assert found.todo.startswith("pip uninstall -y synapse-sdk synapse-agent-sdk && pip install")


def test_broken_settings(call: Run, tmp_path: Path) -> None:
    """A file of profiles that cannot be used is found, and not a reason for the doctor to end."""
    file = tmp_path / "home" / ".config" / "synapse-agent" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[profiles.local]\ntoken = 'secret-1'\n")
    file.chmod(0o644)
    found = findings(call, 1)
    assert (found["settings"]["state"], found["settings"]["todo"]) == ("wrong", f"chmod 600 {file}")
    assert found["agent"]["state"] == "skipped"


def test_tokens_that_are_kept_back(tmp_path: Path) -> None:
    """A profile whose tokens are not sent, since the URL is another, is noted."""
    config = Config(tmp_path / "config.toml", {}, is_there=True)
    found = doctor.settings(config, Connection({}, {}, "staging", "staging"))
    assert (found.state, "profile staging" in found.found) == ("note", True)


def test_contract_version_is_that_of_the_document() -> None:
    """The version that the SDK names is that of its contract."""
    from synapse_local_agent import contract as document

    assert doctor.contract_version() == document.load()["info"]["version"]


def test_published_package_installed_over_ours(tmp_path: Path) -> None:
    """Where the published package has replaced files of ours, the program says so, and what to do, in two lines."""
    ours = Path(synapse_sdk.__file__).parent
    shutil.copytree(ours, tmp_path / "synapse_sdk", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "cli/__init__.py", "cli/doctor.py", "exceptions.py"):  # which both have
        (tmp_path / "synapse_sdk" / name).write_text('"""Another."""\n')
    (tmp_path / "synapse_sdk-2026.2.17.dist-info").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", "from synapse_sdk._program import main; main()", "doctor"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    said, hint = ended.stderr.splitlines()
    assert said.startswith(f"Error: synapse-sdk was installed in {tmp_path} over synapse-agent-sdk")
    assert hint.startswith("Hint: pip uninstall -y synapse-sdk synapse-agent-sdk && ")


def test_program_starts_where_nothing_replaces_it() -> None:
    """The installed program is the one that can say so."""
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    assert project["scripts"] == {"synapse-agent": f"{_program.__name__}:main"}
