"""The server: builds the agent, and starts and stops it on this thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from typing import TYPE_CHECKING

import uvicorn
from synapse_agent_sdk._version import __version__

from synapse_local_agent.processes.executor import LocalExecutor
from synapse_local_agent.releases.data_lock import Lock
from synapse_local_agent.releases.registry import Registry
from synapse_local_agent.releases.store import Store
from synapse_local_agent.runs.runner import Runner
from synapse_local_agent.web import contract, tokens
from synapse_local_agent.web.app import application
from synapse_local_agent.web.handlers import Handlers
from synapse_local_agent.web.host_header import allowed
from synapse_local_agent.web.http_protocol import PatientProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from synapse_local_agent.limits import Limits
    from synapse_local_agent.runs.executor import MakeExecutor

CLOSE_SECONDS = 3


class Server(uvicorn.Server):
    """An agent, served by uvicorn.

    Args:
        registry: The folder of plugins.
        data: The data folder.
        token: The agent token, or None for the one in the data folder.
        host: The address to listen on.
        port: The port to listen on; 0 picks a free one.
        debug_roots: The folders that debug runs may load from.
        allowed_hosts: Host names that callers may use besides `host` and the loopback names.
        grace: Seconds that running actions get to finish when the agent is stopped.
        limits: The limits of runs.
        on_started: Called with the URL once the agent accepts connections.
        executor: Makes the executor, which runs actions.

    Raises:
        RegistryError: If the registry or a plugin in it is invalid.
        TokenError: If the token is invalid.
        HostError: If it would listen for other machines without a token, or on all addresses without `allowed_hosts`.
        OSError: If the port is in use, the address is not local, or the data folder cannot be used.
        DataInUseError: If another agent uses the data folder.
        sqlite3.Error: If the database in the data folder cannot be used.
    """

    def __init__(
        self,
        *,
        registry: Path,
        data: Path,
        token: str | None,
        host: str,
        port: int,
        debug_roots: Sequence[Path],
        allowed_hosts: Sequence[str],
        grace: float,
        limits: Limits,
        on_started: Callable[[str], object],
        executor: MakeExecutor = LocalExecutor,
    ) -> None:
        # Checks come first, so that an agent that does not start stores nothing.
        plugins = Registry(registry.absolute())
        plugins.check()
        data = data.absolute()  # actions and owners of an agent may change the current folder
        if token is not None:
            tokens.validate(token, "The agent token")
        names = allowed(host, allowed_hosts, has_token=token is not None)
        self._listener = _listen(host, port)
        self._on_started = on_started
        self._grace = grace
        self._loop: asyncio.AbstractEventLoop | None = None
        address = f"[{host}]" if ":" in host else host
        self.url = f"http://{address}:{self._listener.getsockname()[1]}"
        with contextlib.ExitStack() as on_failure:
            on_failure.enter_context(self._listener)
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = on_failure.enter_context(Lock(data))
            token = tokens.load_or_create(data) if token is None else token
            store = Store(data)
            on_failure.callback(store.close)
            runner = Runner(data, limits, executor(data, action_environment(os.environ, token), limits))
            self._handlers = Handlers(plugins, store, runner, debug_roots, __version__)
            super().__init__(
                uvicorn.Config(
                    application(contract.load(), self._handlers, token, names),
                    http=PatientProtocol,
                    loop="asyncio",
                    ws="none",
                    lifespan="on",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    timeout_graceful_shutdown=math.ceil(grace) + CLOSE_SECONDS,
                )
            )
            on_failure.pop_all()

    def serve_forever(self) -> None:
        """Serve until stopped."""
        with self._listener, self._lock:
            self.run(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Prepare for runs, start uvicorn, and report the URL."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._handlers.start()
        except BaseException:
            await self._handlers.close()  # uvicorn only does this after it has started
            raise
        await super().startup(sockets)
        if self.started:
            self._on_started(self.url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal; end running actions at the second."""
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._handlers.end_runs)
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, wait for running actions, then end them, so that every caller gets a response."""
        end = asyncio.get_running_loop().call_later(self._grace, self._handlers.end_runs)
        try:
            await super().shutdown(sockets)
        finally:
            end.cancel()


def action_environment(environment: Mapping[str, str], token: str) -> dict[str, str]:
    """The environment of actions: the agent's, without its settings and without variables that hold its token."""
    return {
        name: value for name, value in environment.items() if not name.startswith("SYNAPSE_") and token not in value
    }


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio only sets TCP_NODELAY if the protocol is explicit; without it a response takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # two sockets can bind to one port, but only one of them can listen
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    return listener
