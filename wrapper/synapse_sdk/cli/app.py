"""The commands of `synapse-agent`."""

from __future__ import annotations

import errno
import signal
import sqlite3
from pathlib import Path
from typing import Annotated, NoReturn

import typer

GRACE_SECONDS = 3
"""How long running actions are given to end by themselves when the agent is stopped."""

app = typer.Typer(name="synapse-agent", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def agent() -> None:
    """Run a local agent, which caches releases of plugins and runs their actions."""


@app.command()
def serve(
    registry: Annotated[Path, typer.Option(help="Folder of plugins, each with its config.yaml.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is a free one.")] = 8600,
    data: Annotated[Path | None, typer.Option(help="Folder for what the agent stores.", show_default=False)] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="SYNAPSE_AGENT_TOKEN", help="The agent token. Arguments show in `ps`: rather use a file."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the agent token; comes before --token.")
    ] = None,
    debug_root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that debug runs may load from; repeatable. The current one where left out."),
    ] = None,
) -> None:
    """Serve the plugins of a registry until interrupted.

    Without a token one is made, and kept in a file in the data folder that only you can read.
    """
    from platformdirs import user_data_path
    from synapse_local_agent import DataInUseError, RegistryError, TokenError, tokens
    from synapse_local_agent.server import Server

    data = data or user_data_path("synapse-agent")
    if token_file is not None:
        token = _read(token_file)
    try:
        server = Server(
            registry=registry,
            data=data,
            token=token,
            host=host,
            port=port,
            debug_roots=debug_root or [Path()],
            grace=GRACE_SECONDS,
            on_started=lambda url: typer.echo(f"Agent listening on {url}"),
        )
    except (DataInUseError, RegistryError, TokenError) as error:
        _fail(str(error))
    except sqlite3.Error as error:
        _fail(f"The data folder {data} cannot be used, give another --data: {error}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"Port {port} of {host} is in use: stop what listens there, or give another --port (0 is a free one)")
        _fail(f"Cannot start: {error}")
    if token is None:
        typer.echo(f"The agent token is in {data / tokens.FILE}", err=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # which uvicorn raises again once it has stopped
        signal.signal(number, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)


def _read(token_file: Path) -> str:
    """The token in a file."""
    try:
        return token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"--token-file {token_file} cannot be read: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
