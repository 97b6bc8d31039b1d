"""What importing the SDK costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(300)  # processes start late on a busy machine
HEAVY = {
    *("attr", "attrs", "dateutil", "jsonschema_rs", "starlette", "typer", "uvicorn", "yaml"),
    *("synapse_agent_api", "synapse_local_agent"),
}
"""What a program that only imports the client must not pay for."""


def imported_by(statement: str) -> set[str]:
    """The packages, by their first names, that a statement imports in a process of its own."""
    # httpcore imports trio, and with it attrs, where it is installed, which is no matter of the SDK's.
    program = f"import json, sys\nsys.modules['trio'] = None\n{statement}\nprint(json.dumps(list(sys.modules)))"
    # Coverage of subprocesses imports its own libraries into each of them, sqlite3 among them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return {name.partition(".")[0] for name in json.loads(result.stdout)}


def test_importing_the_client_is_cheap() -> None:
    """Making a client loads httpcore, but neither asyncio nor the generated models, the agent or the command line."""
    modules = imported_by(
        "from synapse_sdk.clients.agent import AgentClient, AsyncAgentClient\n"
        "AgentClient('http://agent', 'agent-token', user_token='user-token', tenant='tenant')"
    )
    assert "httpcore" in modules
    assert modules & {"asyncio", *HEAVY} == set()
    assert "synapse_agent_api" in imported_by("import synapse_agent_api.models")  # so the check sees what is imported


def test_importing_the_errors_is_free() -> None:
    """Importing the errors alone loads no HTTP library."""
    assert imported_by("import synapse_sdk.exceptions") & {"httpx", "httpcore", "anyio", *HEAVY} == set()


@pytest.mark.parametrize("arguments", [["run", "--help"], ["list", "--nosuch"]], ids=str)
def test_help_is_cheap(arguments: list[str]) -> None:
    """Showing help, or what is wrong with an option, loads neither HTTP nor the agent nor what draws tables."""
    modules = imported_by(
        "import contextlib, io\n"
        f"sys.argv = ['synapse-agent', *{arguments}]\n"
        "from synapse_sdk.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    main()"
    )
    assert "typer" in modules
    assert modules & {"httpx", "httpcore", "anyio", "rich", "sqlite3", "platformdirs", *HEAVY - {"typer"}} == set()
