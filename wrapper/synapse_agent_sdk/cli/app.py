"""The commands and the entry point of `synapse-agent`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import Abort, TyperException

from synapse_agent_sdk._version import __version__
from synapse_agent_sdk.cli import command, prune, releases, runs, status
from synapse_agent_sdk.cli.failures import CLOSED_PIPE, FAILED, INTERRUPTED, CliError
from synapse_agent_sdk.cli.profiles import Options
from synapse_agent_sdk.cli.serve import serve

if TYPE_CHECKING:
    from types import FrameType

TERMINATED = 143

EXIT_CODES = """\b
Exit codes: 0 success, 1 failure, 2 usage error,
3 not found, 4 refused, 5 unreachable, 130 interrupted.
"""

# rich would draw boxes around the help, which takes a quarter of a second.
app = typer.Typer(
    name="synapse-agent",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def agent(
    context: typer.Context,
    url: command.Url = None,
    profile: command.Profile = None,
    token_file: command.TokenFile = None,
    token_stdin: command.TokenStdin = False,
    timeout: command.Timeout = None,
    json: command.Json = False,
    debug: command.Debug = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.", is_eager=True)] = False,
) -> None:
    """Cache plugin releases on an agent and run their actions.

    Options can come before or after the command. Omitted settings are read from SYNAPSE_AGENT_URL,
    SYNAPSE_AGENT_TOKEN, SYNAPSE_USER_TOKEN and SYNAPSE_TENANT, then from a profile in config.toml.
    """
    if version:
        typer.echo(f"synapse-agent {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    context.obj = Options(url, profile, token_file, token_stdin, timeout, json, debug)


for name, function in {
    "list": releases.list_,
    "get": releases.get,
    "create": releases.create,
    "run": runs.run,
    "debug": runs.debug,
    "delete": releases.delete,
    "prune": prune.prune,
    "health": status.health,
    "doctor": status.doctor,
}.items():
    app.command(name)(function)
app.command()(serve)


def main() -> int:
    """Run the command in `sys.argv`, and return its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(prog_name="synapse-agent", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as error:  # invalid usage
        _report_usage(error)
        return error.exit_code
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except BrokenPipeError:  # the reader went away, as `head` does
        _drop_output()
        return CLOSED_PIPE
    except OSError as error:
        _drop_output()
        command.report(CliError(f"Cannot write the result: {error.strerror or error}"), is_debug=False)
        return FAILED
    return code if isinstance(code, int) else 0


def _report_usage(error: TyperException) -> None:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "synapse-agent"
    message, hint = error.format_message(), f"See `{path} --help`."
    if "unexpected extra argument" in message and path.endswith((" run", " debug")):
        hint = f"Pass parameters with -p: -p NAME=VALUE. {hint}"
    command.report(CliError(message, hint), is_debug=False)


def _terminate(number: int, frame: FrameType | None) -> None:
    """Exit like any other error does, so that the terminal cursor is restored."""
    del number, frame
    sys.exit(TERMINATED)


def _drop_output() -> None:
    """Discard buffered output, so that flushing it at exit does not fail."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
