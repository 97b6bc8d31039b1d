"""Starting and stopping the agent: on this thread for the command line, on one of its own for `LocalAgent`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from synapse_sdk._version import __version__

from synapse_local_agent import contract, hosts, tokens
from synapse_local_agent.app import application
from synapse_local_agent.handlers import Handlers
from synapse_local_agent.limits import Limits
from synapse_local_agent.local import LocalExecutor
from synapse_local_agent.lock import Lock
from synapse_local_agent.protocol import PatientProtocol
from synapse_local_agent.registry import Registry
from synapse_local_agent.runner import Runner
from synapse_local_agent.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType

    from synapse_local_agent.executor import MakeExecutor

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
            tokens.checked(token, "The agent token")
        names = hosts.allowed(host, allowed_hosts, has_token=token is not None)
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
            token = tokens.kept(data) if token is None else token
            store = Store(data)
            on_failure.callback(store.close)
            runner = Runner(data, limits, executor(data, passed_on(os.environ, token), limits))
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


class LocalAgent:
    """A local agent that lives as long as a `with` block.

    Args:
        registry: The folder of plugins whose releases the agent can cache.
        data: The folder for what the agent stores; a temporary one where left out.
        token: The agent token, of visible ASCII characters; a new one where left out.
        host: The address to listen on.
        port: The port to listen on; 0 is a free one.
        debug_roots: The folders that debug runs may load from; the current one where left out.
        limits: What runs may take; the defaults where left out.
        allowed_hosts: Names that callers may use for the agent, beside loopback's and the address it listens on.
        executor: Makes what runs actions; processes of this machine where left out.

    Raises:
        RegistryError: If the registry, or a plugin in it, is not as it should be.
        TokenError: If the token cannot be used.
        OSError: If the port is in use.
        DataInUseError: If another agent uses the data folder.

    Example:
        >>> with LocalAgent(registry="examples/plugins") as agent:
        ...     agent.url.startswith("http://127.0.0.1:")
        True
    """

    def __init__(
        self,
        registry: str | os.PathLike[str],
        *,
        data: str | os.PathLike[str] | None = None,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        debug_roots: Sequence[str | os.PathLike[str]] | None = None,
        limits: Limits | None = None,
        allowed_hosts: Sequence[str] = (),
        executor: MakeExecutor = LocalExecutor,
    ) -> None:
        self.token = secrets.token_urlsafe(32) if token is None else token
        self._cleanup = contextlib.ExitStack()
        self._options: dict[str, Any] = {
            "registry": Path(registry),
            "host": host,
            "port": port,
            "debug_roots": [Path(root) for root in (["."] if debug_roots is None else debug_roots)],
            "allowed_hosts": allowed_hosts,
            "grace": 0,
            "limits": limits or Limits(),
            "executor": executor,
        }
        self._data = data
        self._url: str | None = None

    def __repr__(self) -> str:
        return f"LocalAgent(url={self._url!r})"

    @property
    def url(self) -> str:
        """Where the agent listens."""
        if self._url is None:
            msg = "The agent is not running: call start(), or use it in a with block"
            raise RuntimeError(msg)
        return self._url

    def start(self) -> Self:
        """Start the agent, and return it once it accepts connections."""
        if self._url is not None:
            msg = "The agent is running already"
            raise RuntimeError(msg)
        with contextlib.ExitStack() as stack:
            data = self._data
            if data is None:
                temporary = tempfile.TemporaryDirectory(prefix="synapse-agent-", ignore_cleanup_errors=True)
                data = stack.enter_context(temporary)
            ready = threading.Event()
            server = Server(data=Path(data), token=self.token, on_started=lambda _: ready.set(), **self._options)
            failures: list[BaseException] = []

            def serve() -> None:
                try:
                    server.serve_forever()
                except BaseException as error:
                    failures.append(error)
                    if server.started:
                        raise
                finally:
                    ready.set()

            thread = threading.Thread(target=serve, name="synapse-agent", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            ready.wait()
            if not server.started:
                msg = f"The agent did not start: {failures[0]}" if failures else "The agent did not start"
                raise RuntimeError(msg) from (failures[0] if failures else None)
            self._url = server.url
            self._cleanup = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop the agent, its running actions with it; twice is harmless."""
        self._url = None
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def passed_on(environment: Mapping[str, str], token: str) -> dict[str, str]:
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
