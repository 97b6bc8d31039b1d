"""The doctor: what it finds over the wire, and in the environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import synapse_sdk
from synapse_agent_sdk import _program
from synapse_agent_sdk.cli import doctor
from synapse_agent_sdk.cli.profiles import Config, Connection

from tests.cli.conftest import SECONDS
from tests.wire.faults import body, page, reply

if TYPE_CHECKING:
    from tests.cli.conftest import OpenServer, Run

WELL = reply({"status": "ok", "version": "2.3.4"})
PAGE = body(b"<html>It works!</html>", 200, {"Content-Type": "text/html"})


def findings(call: Run, code: int, **variables: Any) -> dict[str, dict[str, str]]:
    """What the doctor finds, by check; it never shows a secret."""
    ended = call("doctor", **variables)
    result = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, result["ok"]) == (code, "", code == 0)
    assert "secret-1" not in ended.stdout
    return {each["check"]: each for each in result["checks"]}


def test_checks(call: Run, open_server: OpenServer) -> None:
    """Each check says what it found; what is wrong has what to do about it, and what leans on it is not looked at."""
    found = findings(call, 0)
    assert {each["state"] for each in found.values()} == {"ok"}
    assert found["contract"]["found"] == "1.0.0, which this SDK speaks"
    assert found["token"]["found"] == "accepted (from SYNAPSE_AGENT_TOKEN)"
    assert found["url"]["found"].endswith("(from SYNAPSE_AGENT_URL)")
    direct: dict[str, Any] = {"NO_PROXY": None, "no_proxy": None}
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"SYNAPSE_AGENT_TOKEN": "secret-1-wrong"}, "token", "SYNAPSE_AGENT_TOKEN"),
        ({"SYNAPSE_PROFILE": "nosuch"}, "settings", "Profiles: none."),
        ({"SYNAPSE_AGENT_URL": None}, "url", "Give --url"),
        ({"SYNAPSE_AGENT_URL": "http://user:secret-1@127.0.0.1"}, "url", "http://127.0.0.1:8600"),
        ({"SYNAPSE_AGENT_URL": "http://127.0.0.1:1"}, "agent", "synapse-agent serve"),
        ({"at": open_server(PAGE)}, "agent", "URL of an agent?"),
        ({"HTTP_PROXY": "http://user:secret-1@10.0.0.1:3128", **direct}, "proxy", "export NO_PROXY=127.0.0.1"),
        ({"HTTP_PROXY": "http://[::1", **direct}, "proxy", "HTTP_PROXY"),
    ]
    for variables, check, todo in wrong:
        found = findings(call, 1, **variables)
        at = list(found).index(check)
        assert [each["state"] for each in found.values()] == ["ok"] * at + ["wrong"] + ["skipped"] * (7 - at)
        assert todo in found[check]["fix"]
    assert findings(call, 0, HTTP_PROXY="http://10.0.0.1:3128", NO_PROXY="127.0.0.1")["proxy"]["found"] == "none"
    for url in ("http://agents.example.com", "http://localhost:8600"):  # a proxy that may be
        proxy = findings(call, 1, HTTP_PROXY="http://127.0.0.1:1", SYNAPSE_AGENT_URL=url, **direct)["proxy"]
        assert (proxy["state"], proxy["found"]) == ("ok", "http://127.0.0.1:1 (from the environment)")


def test_contract_of_the_agent(call: Run, open_server: OpenServer) -> None:
    """The older side of two major versions is to be updated, an older minor one is noted; the token is tried anyway."""
    no_document = [(answer, 0, "note") for answer in (reply([1, 2]), reply({"detail": "Not Found"}, 404), PAGE)]
    for answer, code, state in [*no_document, (reply({"info": {"version": "2.0.0"}}), 1, "wrong")]:
        server = open_server(WELL, answer, reply(page([], 0)))
        found = findings(call, code, at=server)
        assert (found["contract"]["state"], found["token"]["state"]) == (state, "ok")
        assert found["agent"]["found"].startswith("ok, version 2.3.4, in ")
        assert [request.path for request in server.requests] == ["/health/", "/openapi.json", "/plugin_releases/"]
    for theirs, ours, state, said in (
        ("1.7.2", "1.0.0", "ok", "1.7.2, which this SDK speaks"),
        ("2.0.0", "1.0.0", "wrong", "The agent is newer: update the SDK."),
        ("1.0.0", "10.0.0", "wrong", "The SDK is newer: update the agent."),
        ("1.1.0", "1.2.0", "note", "until the agent is updated"),
    ):
        found_of = doctor.contract({"info": {"version": theirs}}, ours)
        assert (found_of.state, said in f"{found_of.found} {found_of.fix}") == (state, True)


def test_what_else_is_found(tmp_path: Path) -> None:
    """The published package is wrong; an agent that is not well, and a profile whose tokens are not sent, are noted."""
    (tmp_path / "synapse_sdk-1.0.0.dist-info").mkdir()
    found = doctor.packages([str(tmp_path)])
    assert (found.state, str(tmp_path) in found.found, "pip uninstall" in found.fix) == ("wrong", True, True)
    states = [doctor.agent(health, 1).state for health in ({"status": "degraded"}, {"status": "up"}, {})]
    assert states == ["note", "ok", "ok"]
    config = Config(tmp_path / "config.toml", {}, is_there=True)
    found = doctor.settings(config, Connection({}, {}, "staging", "staging"))
    assert (found.state, "profile staging" in found.found) == ("note", True)


def test_published_package_installed_over_ours(tmp_path: Path) -> None:
    """Where the published package has replaced files of ours, the program says so, and what to do, in two lines."""
    scripts = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert scripts == {"synapse-agent": f"{_program.__name__}:main"}  # a file that it does not replace
    ours = Path(synapse_sdk.__file__).parent
    shutil.copytree(ours, tmp_path / "synapse_sdk", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "cli/__init__.py", "cli/doctor.py", "exceptions.py"):  # which both have
        (tmp_path / "synapse_sdk" / name).write_text('"""Another."""\n')
    (tmp_path / "synapse_sdk-2026.2.17.dist-info").mkdir()
    command = [sys.executable, "-c", "from synapse_sdk._program import main; main()", "doctor"]
    variables = {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603 - ours
    assert (ended.returncode, ended.stdout) == (1, "")
    said, hint = ended.stderr.splitlines()
    assert said.startswith(f"Error: synapse-sdk was installed in {tmp_path} over synapse-agent-sdk")
    assert hint.startswith("Hint: pip uninstall -y synapse-sdk synapse-agent-sdk && ")
