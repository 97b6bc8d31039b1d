"""What importing the SDK costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

SLOW = {"attr", "dateutil", "jsonschema_rs", "starlette", "uvicorn", "yaml", "synapse_agent_api", "synapse_local_agent"}
"""What a program that only imports the client must not pay for."""
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


@pytest.mark.timeout(300)  # processes start late on a busy machine
@pytest.mark.parametrize(
    ("program", "needed", "spared"),
    [
        ("from synapse_agent_sdk import AgentClient", "httpx", {"httpcore", "typer"} | SLOW),
        (CLIENTS, "httpcore", {"asyncio", "typer"} | SLOW - {"attr", "synapse_agent_api"}),
        ("import synapse_agent_sdk.exceptions", "synapse_agent_sdk", HTTP | {"typer"} | SLOW),
        (CLI.format(["run", "--help"]), "typer", HELP),
        (CLI.format(["list", "--nosuch"]), "typer", HELP),
        ("import synapse_agent_api.models", "synapse_agent_api", {"typer"}),  # so the check sees what is imported
    ],
    ids=["import", "client", "errors", "help", "wrong option", "models"],
)
def test_importing_is_cheap(program: str, needed: str, spared: set[str]) -> None:
    """The errors and the help load no HTTP, and importing a client loads no models, agent or command line."""
    # httpcore imports trio, and with it attrs, where it is installed, which is no matter of the SDK's.
    program = f"import json, sys\nsys.modules['trio'] = None\n{program}\nprint(json.dumps(list(sys.modules)))"
    # Coverage of subprocesses imports its own libraries into each of them, sqlite3 among them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    modules = {name.partition(".")[0] for name in json.loads(result.stdout)}
    assert needed in modules
    assert modules & spared == set()
