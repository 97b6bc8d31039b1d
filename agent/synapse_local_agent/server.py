"""Starting and stopping the agent: on this thread for the command line, on one of its own for `LocalAgent`."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvicorn
from synapse_sdk._version import __version__

from synapse_local_agent import contract
from synapse_local_agent.app import application
from synapse_local_agent.handlers import Handlers
from synapse_local_agent.registry import Registry
from synapse_local_agent.runner import Runner
from synapse_local_agent.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GRACE_SECONDS = 3
START_SECONDS = 30


class Server(uvicorn.Server):
    """An agent on uvicorn.

    Args:
        registry: The folder of plugins.
        data: The folder for what the agent stores.
        token: The agent token.
        host: The address to listen on.
        port: The port to listen on; 0 is a free one.
        debug_roots: The folders that debug runs may load from.
        on_started: Called with the URL once connections are accepted.

    Raises:
        RegistryError: If the registry, or a plugin in it, is not as it should be.
        OSError: If the port is in use, or the address is not one of this machine's.
    """

    def __init__(
        self,
        *,
        registry: Path,
        data: Path,
        token: str,
        host: str,
        port: int,
        debug_roots: Sequence[Path],
        on_started: Callable[[str], object],
    ) -> None:
        plugins = Registry(registry)
        plugins.check()
        self._listener = _listen(host, port)
        self._on_started = on_started
        address = f"[{host}]" if ":" in host else host
        self.url = f"http://{address}:{self._listener.getsockname()[1]}"
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            handlers = Handlers(plugins, Store(data), Runner(data, os.environ), debug_roots, __version__)
            super().__init__(
                uvicorn.Config(
                    application(contract.load(), handlers, token),
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    ws="none",
                    lifespan="on",
                    timeout_graceful_shutdown=GRACE_SECONDS,
                )
            )
        except BaseException:
            self._listener.close()
            raise

    def serve_forever(self) -> None:
        """Serve until told to stop."""
        with self._listener:
            self.run(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, as uvicorn does, and say so."""
        await super().startup(sockets)
        if self.started:
            self._on_started(self.url)


class LocalAgent:
    """A local agent that lives as long as a `with` block.

    Args:
        registry: The folder of plugins whose releases the agent can cache.
        data: The folder for what the agent stores; a temporary one where left out.
        token: The agent token; a new one where left out.
        host: The address to listen on.
        port: The port to listen on; 0 is a free one.
        debug_roots: The folders that debug runs may load from; the current one where left out.

    Raises:
        RegistryError: If the registry, or a plugin in it, is not as it should be.
        OSError: If the port is in use.

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
    ) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self._cleanup = contextlib.ExitStack()
        self._options: dict[str, Any] = {
            "registry": Path(registry),
            "host": host,
            "port": port,
            "debug_roots": [Path(root) for root in debug_roots or ["."]],
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
                data = stack.enter_context(tempfile.TemporaryDirectory(prefix="synapse-agent-"))
            started = threading.Event()
            server = Server(data=Path(data), token=self.token, on_started=lambda _: started.set(), **self._options)
            thread = threading.Thread(target=server.serve_forever, name="synapse-agent", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            if not started.wait(START_SECONDS):
                msg = f"The agent did not start within {START_SECONDS} s"
                raise RuntimeError(msg)
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener
