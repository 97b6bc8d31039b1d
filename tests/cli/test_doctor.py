"""The doctor's findings, over the wire and in the environment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from synapse_agent_sdk.cli import doctor
from synapse_agent_sdk.cli.profiles import Config, Connection

from tests.wire.faults import body, page, reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import OpenServer, Run

WELL = reply({"status": "ok", "version": "2.3.4"})
PAGE = body(b"<html>It works!</html>", 200, {"Content-Type": "text/html"})


def findings(call: Run, code: int, **variables: Any) -> dict[str, dict[str, str]]:
    """Return the doctor's findings by check, and assert that they show no secret."""
    ended = call("doctor", **variables)
    result = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, result["ok"]) == (code, "", code == 0)
    assert "secret-1" not in ended.stdout
    return {each["check"]: each for each in result["checks"]}


def test_checks(call: Run, open_server: OpenServer) -> None:
    """Each check reports a finding; a problem comes with a fix, and checks that depend on it are skipped."""
    found = findings(call, 0)
    assert {each["state"] for each in found.values()} == {"ok"}
    assert found["contract"]["found"] == f"{doctor.contract_version()}, supported by this SDK"
    assert found["token"]["found"] == "accepted (from SYNAPSE_AGENT_TOKEN)"
    assert found["url"]["found"].endswith("(from SYNAPSE_AGENT_URL)")
    direct: dict[str, Any] = {"NO_PROXY": None, "no_proxy": None}
    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"SYNAPSE_AGENT_TOKEN": "secret-1-wrong"}, "token", "SYNAPSE_AGENT_TOKEN"),
        ({"SYNAPSE_PROFILE": "nosuch"}, "settings", "Available profiles: none."),
        ({"SYNAPSE_AGENT_URL": None}, "url", "Pass --url"),
        ({"SYNAPSE_AGENT_URL": "http://user:secret-1@127.0.0.1"}, "url", "http://127.0.0.1:8600"),
        ({"SYNAPSE_AGENT_URL": "http://127.0.0.1:1"}, "agent", "synapse-agent serve"),
        ({"at": open_server(PAGE)}, "agent", "URL of an agent?"),
        ({"HTTP_PROXY": "http://user:secret-1@10.0.0.1:3128", **direct}, "proxy", "export NO_PROXY=127.0.0.1"),
        ({"HTTP_PROXY": "http://[::1", **direct}, "proxy", "HTTP_PROXY"),
    ]
    for variables, check, fix in wrong:
        found = findings(call, 1, **variables)
        at = list(found).index(check)
        assert [each["state"] for each in found.values()] == ["ok"] * at + ["wrong"] + ["skipped"] * (7 - at)
        assert fix in found[check]["fix"]
    assert findings(call, 0, HTTP_PROXY="http://10.0.0.1:3128", NO_PROXY="127.0.0.1")["proxy"]["found"] == "none"
    for url in ("http://agents.example.com", "http://localhost:8600"):  # valid proxies
        proxy = findings(call, 1, HTTP_PROXY="http://127.0.0.1:1", SYNAPSE_AGENT_URL=url, **direct)["proxy"]
        assert (proxy["state"], proxy["found"]) == ("ok", "http://127.0.0.1:1 (from the environment)")


def test_contract_of_the_agent(call: Run, open_server: OpenServer) -> None:
    """On a major mismatch the older side needs an update; an older minor version is noted; the token is checked."""
    no_document = [(answer, 0, "note") for answer in (reply([1, 2]), reply({"detail": "Not Found"}, 404), PAGE)]
    for answer, code, state in [*no_document, (reply({"info": {"version": "2.0.0"}}), 1, "wrong")]:
        server = open_server(WELL, answer, reply(page([], 0)))
        found = findings(call, code, at=server)
        assert (found["contract"]["state"], found["token"]["state"]) == (state, "ok")
        assert found["agent"]["found"].startswith("ok, version 2.3.4, in ")
        assert [request.path for request in server.requests] == ["/health/", "/openapi.json", "/plugin_releases/"]
    for theirs, ours, state, expected in (
        ("1.7.2", "1.0.0", "ok", "1.7.2, supported by this SDK"),
        ("2.0.0", "1.0.0", "wrong", "The agent is newer: update the SDK."),
        ("1.0.0", "10.0.0", "wrong", "The SDK is newer: update the agent."),
        ("1.1.0", "1.2.0", "note", "until the agent is updated"),
    ):
        found_of = doctor.contract({"info": {"version": theirs}}, ours)
        assert (found_of.state, expected in f"{found_of.found} {found_of.fix}") == (state, True)


def test_what_else_is_found(tmp_path: Path) -> None:
    """An unhealthy agent is noted, and so is a profile whose tokens are not sent."""
    states = [doctor.agent(health, 1).state for health in ({"status": "degraded"}, {"status": "up"}, {})]
    assert states == ["note", "ok", "ok"]
    config = Config(tmp_path / "config.toml", {}, is_there=True)
    found = doctor.settings(config, Connection({}, {}, "staging", "staging"))
    assert (found.state, "profile staging" in found.found) == ("note", True)
