"""The serve command, which starts a local agent."""

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
"""Maximum number of concurrent actions on a cluster, which has its own limits."""


class LogLevel(StrEnum):
    """Log levels, from most to least verbose."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class ExecutorName(StrEnum):
    """The executors of actions."""

    LOCAL = "local"
    RAY = "ray"


def serve(
    registry: Annotated[Path, typer.Option(help="Folder with plugins, each with a config.yaml.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free port.")] = 8600,
    data: Annotated[Path | None, typer.Option(help="Folder for the agent's data.", show_default=False)] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="SYNAPSE_AGENT_TOKEN", help="Agent token. Arguments show in `ps`: prefer a file."),
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the agent token; overrides --token.")] = None,
    debug_root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that debug runs may load from; repeatable. Default: current folder."),
    ] = None,
    run_timeout: Annotated[float, typer.Option(min=0.001, help="Maximum run time of an action, in seconds.")] = 86_400,
    max_running: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum number of concurrent actions. Default: one per core; 1000 with Ray."),
    ] = None,
    max_queue: Annotated[int, typer.Option(min=0, help="Maximum number of queued runs; more get a 429.")] = 1000,
    max_memory: Annotated[
        int | None, typer.Option(min=1, help="Maximum memory of a run and its processes, in MiB.", show_default=False)
    ] = None,
    max_processes: Annotated[int, typer.Option(min=2, help="Maximum number of processes per run.")] = 1000,
    max_result: Annotated[int, typer.Option(min=1, help="Maximum size of a result as JSON, in MiB.")] = 256,
    max_log: Annotated[int, typer.Option(min=1, help="Maximum printed output of a run, in MiB.")] = 256,
    idle_limit: Annotated[
        float, typer.Option(min=0, help="Seconds to keep an idle process for its release's next run; 0 keeps none.")
    ] = 300,
    max_idle: Annotated[int, typer.Option(min=0, help="Maximum number of idle processes.")] = 8,
    keep_runs: Annotated[float, typer.Option(min=0, help="Days to keep run logs.")] = 7,
    keep_runs_size: Annotated[int, typer.Option(min=0, help="Maximum size of run logs, in MiB.")] = 1024,
    keep_environments: Annotated[float, typer.Option(min=0, help="Days to keep an unused environment.")] = 30,
    keep_environments_size: Annotated[int, typer.Option(min=0, help="Maximum size of environments, in MiB.")] = 10_240,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="Allowed Host header besides localhost; repeatable. Required with 0.0.0.0."),
    ] = None,
    executor: Annotated[
        ExecutorName, typer.Option(help="Where actions run: in local processes, or on a Ray cluster.")
    ] = ExecutorName.LOCAL,
    ray_address: Annotated[
        str,
        typer.Option(help="Ray cluster: auto (on this machine), host:port, ray://host:port, or local to start one."),
    ] = "auto",
    grace: Annotated[float, typer.Option(min=0, help="Seconds that running actions get to finish on shutdown.")] = 3,
    log_level: Annotated[LogLevel, typer.Option(help="Minimum log level; info logs each request.")] = LogLevel.INFO,
) -> None:
    """Serve the plugins of a registry until interrupted.

    Without a token, the agent creates one and stores it in the data folder, in a file that only you can read.
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
    with _startup_errors(data, host, port):
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
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn re-raises them once it has stopped
            signal.signal(number, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)


@contextlib.contextmanager
def _startup_errors(data: Path, host: str, port: int) -> Iterator[None]:
    """Print a one-line error if the agent cannot start."""
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
            _fail(f"Port {port} on {host} is in use: choose another --port (0 picks a free port)")
        _fail(f"Cannot start: {error}")


def _read(token_file: Path) -> str:
    """Read a token from a file."""
    try:
        return token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        _fail(f"--token-file {token_file} cannot be read: {error}")


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
