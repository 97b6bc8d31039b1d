"""The cost of importing the SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SLOW = {"attr", "dateutil", "jsonschema_rs", "starlette", "uvicorn", "yaml", "synapse_agent_api", "synapse_local_agent"}
"""Modules that importing the client must not load."""
HTTP = {"httpx", "httpcore", "anyio"}
CLI = """\
import contextlib, io
sys.argv = ['synapse-agent', *{}]
from synapse_agent_sdk.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
"""
CLIENTS = """\
from synapse_agent_sdk import AgentClient, AsyncAgentClient
AgentClient('http://agent', 'agent-token', user_token='user-token', tenant='tenant')
"""
HELP = HTTP | SLOW | {"rich", "sqlite3", "platformdirs"}


@pytest.mark.timeout(300)  # processes start slowly on a busy machine
@pytest.mark.parametrize(
    ("program", "needed", "spared"),
    [
        ("from synapse_agent_sdk import AgentClient", "httpx", {"httpcore", "typer"} | SLOW),
        (CLIENTS, "httpcore", {"asyncio", "typer"} | SLOW - {"attr", "synapse_agent_api"}),
        ("import synapse_agent_sdk.exceptions", "synapse_agent_sdk", HTTP | {"typer"} | SLOW),
        (CLI.format(["run", "--help"]), "typer", HELP),
        (CLI.format(["list", "--nosuch"]), "typer", HELP),
        ("import synapse_agent_api.models", "synapse_agent_api", {"typer"}),  # checks that the test detects imports
    ],
    ids=["import", "client", "errors", "help", "wrong option", "models"],
)
def test_importing_is_cheap(program: str, needed: str, spared: set[str]) -> None:
    """Errors and help load no HTTP modules; importing a client loads no models, agent or command line."""
    # If installed, trio and attrs are imported by httpcore, not by the SDK.
    program = f"import json, sys\nsys.modules['trio'] = None\n{program}\nprint(json.dumps(list(sys.modules)))"
    # Coverage imports its own libraries into subprocesses, such as sqlite3.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    modules = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert needed in modules
    assert modules & spared == set()
