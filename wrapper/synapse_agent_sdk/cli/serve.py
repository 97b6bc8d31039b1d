"""The command that starts a local agent: serve."""

from __future__ import annotations

import contextlib
import errno
import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400
MIB = 2**20
ON_A_CLUSTER = 1000
"""Actions that run at the same time where the cluster is what limits them."""


class LogLevel(StrEnum):
    """How much is logged, from most to least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ExecutorName(StrEnum):
    """What runs the actions."""

    LOCAL = "local"
    RAY = "ray"


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
    run_timeout: Annotated[float, typer.Option(min=0.001, help="Seconds that an action may run.")] = 86_400,
    max_running: Annotated[
        int | None,
        typer.Option(min=1, help="Actions that run at the same time. One a core where left out; 1000 with Ray."),
    ] = None,
    max_queue: Annotated[int, typer.Option(min=0, help="Runs that wait; further ones are answered with 429.")] = 1000,
    max_memory: Annotated[
        int | None, typer.Option(min=1, help="MiB that a run may use with all of its processes.", show_default=False)
    ] = None,
    max_processes: Annotated[int, typer.Option(min=2, help="Processes that a run may have.")] = 1000,
    max_result: Annotated[int, typer.Option(min=1, help="MiB of JSON that an action may return.")] = 256,
    max_log: Annotated[int, typer.Option(min=1, help="MiB that an action may print.")] = 256,
    idle_limit: Annotated[
        float, typer.Option(min=0, help="Seconds that a process is kept for its release's next run; 0 keeps none.")
    ] = 300,
    max_idle: Annotated[int, typer.Option(min=0, help="Processes that are kept for next runs.")] = 8,
    keep_runs: Annotated[float, typer.Option(min=0, help="Days that logs of runs are kept.")] = 7,
    keep_runs_size: Annotated[int, typer.Option(min=0, help="MiB of logs of runs that are kept.")] = 1024,
    keep_environments: Annotated[float, typer.Option(min=0, help="Days that an unused environment is kept.")] = 30,
    keep_environments_size: Annotated[int, typer.Option(min=0, help="MiB of environments that are kept.")] = 10_240,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Name that callers use for the agent, beside localhost; repeatable. Needed with 0.0.0.0."),
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="What runs the actions: processes of this machine, or a Ray cluster.")
    ] = ExecutorName.LOCAL,
    ray_address: Annotated[
        str,
        typer.Option(help="Cluster: auto for this machine's, host:port, ray://host:port, or local to start one."),
    ] = "auto",
    grace: Annotated[float, typer.Option(min=0, help="Seconds for running actions to end when it is stopped.")] = 3,
    log_level: Annotated[LogLevel, typer.Option(help="Log at least this; info has a line a request.")] = LogLevel.INFO,
) -> None:
    """Serve the plugins of a registry until interrupted.

    Without a token one is made, and kept in a file in the data folder that only you can read.
    """
    import logging

    from platformdirs import user_data_path

    try:
        from synapse_local_agent import Limits
        from synapse_local_agent.processes.executor import LocalExecutor
        from synapse_local_agent.ray.executor import OnRay
        from synapse_local_agent.server import Server
        from synapse_local_agent.web import tokens
    except ImportError as error:
        _fail(f"The local agent needs further packages: pip install 'synapse-agent-sdk[agent]' ({error})")

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
    data = data or user_data_path("synapse-agent")
    if token_file is not None:
        token = _read(token_file)
    is_on_ray = executor is ExecutorName.RAY
    if is_on_ray:
        max_running = max_running or ON_A_CLUSTER
    limits = Limits(
        **({} if max_running is None else {"max_running": max_running}),
        run_timeout=run_timeout,
        max_queue=max_queue,
        max_memory=None if max_memory is None else max_memory * MIB,
        max_processes=max_processes,
        max_result=max_result * MIB,
        max_log=max_log * MIB,
        idle_limit=idle_limit,
        max_idle=max_idle,
        keep_runs=keep_runs * DAY,
        keep_runs_size=keep_runs_size * MIB,
        keep_environments=keep_environments * DAY,
        keep_environments_size=keep_environments_size * MIB,
    )
    with _refusals(data, host, port):
        server = Server(
            registry=registry,
            data=data,
            token=token,
            host=host,
            port=port,
            debug_roots=debug_root or [Path()],
            limits=limits,
            allowed_hosts=allowed_host or [],
            grace=grace,
            on_started=lambda url: typer.echo(f"Agent listening on {url}"),
            executor=OnRay(ray_address) if is_on_ray else LocalExecutor,
        )
        if token is None:
            typer.echo(f"The agent token is in {data / tokens.FILE}", err=True)
        for number in (signal.SIGINT, signal.SIGTERM):  # which uvicorn raises again once it has stopped
            signal.signal(number, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)


@contextlib.contextmanager
def _refusals(data: Path, host: str, port: int) -> Iterator[None]:
    """Say in a line why an agent does not start."""
    import sqlite3

    from synapse_local_agent import DataInUseError, HostError, RegistryError, TokenError
    from synapse_local_agent.ray.executor import ClusterError

    try:
        yield
    except (ClusterError, DataInUseError, HostError, RegistryError, TokenError) as error:
        _fail(str(error))
    except sqlite3.Error as error:
        _fail(f"The data folder {data} cannot be used, give another --data: {error}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"Port {port} of {host} is in use: stop what listens there, or give another --port (0 is a free one)")
        _fail(f"Cannot start: {error}")


def _read(token_file: Path) -> str:
    """The token in a file."""
    try:
        return token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"--token-file {token_file} cannot be read: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
