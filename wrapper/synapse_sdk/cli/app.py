"""The commands of `synapse-agent`."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Annotated, NoReturn

import typer

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
    token_file: Annotated[Path | None, typer.Option(help="File that holds the agent token.")] = None,
    debug_root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that debug runs may load from; repeatable. The current one where left out."),
    ] = None,
) -> None:
    """Serve the plugins of a registry until interrupted.

    Without a token one is made, and kept in a file in the data folder that only you can read.
    """
    from platformdirs import user_data_path
    from synapse_local_agent.registry import RegistryError
    from synapse_local_agent.server import Server

    data = data or user_data_path("synapse-agent")
    try:
        server = Server(
            registry=registry,
            data=data,
            token=_token(token, token_file, data),
            host=host,
            port=port,
            debug_roots=debug_root or [Path()],
            on_started=lambda url: typer.echo(f"Agent listening on {url}"),
        )
    except RegistryError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"Port {port} of {host} is in use: stop what listens there, or give another --port (0 is a free one)")
        _fail(f"Cannot start: {error}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)


def _token(token: str | None, file: Path | None, data: Path) -> str:
    """The token that was given, or one that is made and kept in the data folder."""
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            _fail(f"--token-file cannot be read: {error}")
    if token is not None:
        if not token.isascii() or not token.isprintable() or not token or " " in token:
            _fail("The token must be visible ASCII characters without spaces (it is not shown here)")
        return token
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = data / "token"
    try:
        # Made with its mode, so that there is no moment at which others can read it.
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "w", encoding="ascii") as new:
            new.write(secrets.token_urlsafe(32))
    typer.echo(f"The agent token is in {kept}", err=True)
    return kept.read_text(encoding="ascii").strip()


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
