"""The server: starting and stopping the agent on this thread, and in it all that the agent is made of."""

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
    """An agent on uvicorn.

    Args:
        registry: The folder of plugins.
        data: The folder for what the agent stores.
        token: The agent token; one that is kept in the data folder where it is None.
        host: The address to listen on.
        port: The port to listen on; 0 is a free one.
        debug_roots: The folders that debug runs may load from.
        allowed_hosts: Names that callers may use for the agent, beside loopback's and the address it listens on.
        grace: Seconds that running actions are given to end by themselves when the agent is stopped.
        limits: What runs may take.
        on_started: Called with the URL once connections are accepted.
        executor: Makes what runs actions.

    Raises:
        RegistryError: If the registry, or a plugin in it, is not as it should be.
        TokenError: If the token cannot be used.
        HostError: If it would be open to other machines without a token, or without a name to be called by.
        OSError: If the port is in use, the address is not one of this machine's, or the data folder cannot be used.
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
        # What may refuse to start comes first, so that nothing is stored by an agent that never ran.
        plugins = Registry(registry.absolute())
        plugins.check()
        data = data.absolute()  # actions, and programs that hold an agent, change their current folder
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
        """Serve until told to stop."""
        with self._listener, self._lock:
            self.run(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Make ready for runs, start listening, as uvicorn does, and say so."""
        self._loop = asyncio.get_running_loop()
        try:
            await self._handlers.start()
        except BaseException:
            await self._handlers.close()  # which uvicorn has done at the end of what it has started
            raise
        await super().startup(sockets)
        if self.started:
            self._on_started(self.url)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at the first signal; at a second one, give running actions no more time."""
        if self.should_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._handlers.end_runs)
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, give running actions their time, and then end them, so that their callers are answered."""
        end = asyncio.get_running_loop().call_later(self._grace, self._handlers.end_runs)
        try:
            await super().shutdown(sockets)
        finally:
            end.cancel()


def action_environment(environment: Mapping[str, str], token: str) -> dict[str, str]:
    """What actions see of the agent's environment: no settings of the agent, and nothing that holds its token."""
    return {
        name: value for name, value in environment.items() if not name.startswith("SYNAPSE_") and token not in value
    }


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named in full, since asyncio sets TCP_NODELAY on such sockets alone; without it an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # two sockets may be bound to one port, but only one of them can listen
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    return listener
