"""What the shell completes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synapse_agent_sdk.cli import completion

from tests.wire.faults import silence

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.cli.conftest import OpenServer, Run


def completed(call: Run, line: str, **variables: Any) -> list[str]:
    """What bash is offered at the end of a line."""
    words = line.split(" ")
    asked = {"_SYNAPSE_AGENT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ended = call(**asked, **variables)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


def test_bash_completes(call: Run) -> None:
    """Commands, options and the names of cached releases are completed, and nothing where no agent is."""
    expected = {
        "synapse-agent pr": ["prune"],
        "synapse-agent prune --old": ["--older-than"],
        "synapse-agent get to": ["tool@1.1.0", "tool@1.0.0"],
        "synapse-agent run tool@1.0": ["tool@1.0.0"],
        "synapse-agent get --url http://127.0.0.1:1 to": [],
        "synapse-agent --url http://127.0.0.1:1 delete x@1 to": [],
    }
    assert {line: completed(call, line) for line in expected} == expected


def test_profiles_are_completed(call: Run, tmp_path: Path) -> None:
    """Profiles are completed by their names; a file that cannot be used completes nothing."""
    file = tmp_path / "home" / ".config" / "synapse-agent" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("[profiles.staging]\n[profiles.stable]\n[profiles.local]\n")
    assert completed(call, "synapse-agent list --profile sta") == ["staging", "stable"]
    file.write_text("[profiles")
    assert completed(call, "synapse-agent list --profile sta") == []


def test_agent_that_says_nothing(call: Run, open_server: OpenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that does not answer in time completes nothing."""
    monkeypatch.setattr(completion, "SECONDS", 0.05)
    assert completed(call, "synapse-agent get to", SYNAPSE_AGENT_URL=open_server(silence).url) == []
