"""An agent on a thread of the tests' own process: it starts in a tenth of the time that `LocalAgent` takes.

Tests that ask what `LocalAgent` itself does (tests/agent/test_local_agent.py) use that class; all others need an agent
and not its process.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from synapse_local_agent import Limits
from synapse_local_agent.server import Server

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence


class ThreadedAgent:
    """A server on a free loopback port, as long as a `with` block; its arguments are those of `Server`.

    Args:
        registry: The folder of plugins.
        data: The data folder; a temporary one if omitted.
        token: The agent token; a new one if omitted.
        debug_roots: The folders that debug runs may load from; the current one if omitted.
        limits: What runs may take; the defaults if omitted.
        options: Further arguments of `Server`.
    """

    def __init__(
        self,
        registry: str | os.PathLike[str],
        *,
        data: str | os.PathLike[str] | None = None,
        token: str | None = None,
        debug_roots: Sequence[str | os.PathLike[str]] = (".",),
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        self.token = secrets.token_urlsafe(32) if token is None else token
        self.url = ""
        self._data = data
        self._stack = contextlib.ExitStack()
        self._options: dict[str, Any] = {
            "registry": Path(registry),
            "host": "127.0.0.1",
            "port": 0,
            "debug_roots": [Path(root) for root in debug_roots],
            "allowed_hosts": (),
            "grace": 0,
            "limits": limits or Limits(),
            **options,
        }

    def start(self) -> Self:
        """Start the agent, and return it once it accepts connections."""
        with contextlib.ExitStack() as stack:
            data = self._data
            if data is None:
                temporary = tempfile.TemporaryDirectory(prefix="synapse-agent-", ignore_cleanup_errors=True)
                data = stack.enter_context(temporary)
            is_settled = threading.Event()
            server = Server(data=Path(data), token=self.token, on_started=lambda _: is_settled.set(), **self._options)
            failures: list[BaseException] = []

            def serve() -> None:
                try:
                    server.serve_forever()
                except BaseException as error:
                    failures.append(error)
                    if server.started:
                        raise
                finally:
                    is_settled.set()

            thread = threading.Thread(target=serve, name="synapse-agent", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            is_settled.wait()
            if not server.started:
                msg = f"The agent did not start: {failures[0] if failures else None}"
                raise RuntimeError(msg) from (failures[0] if failures else None)
            self.url = server.url
            self._stack = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop the agent and its running actions; twice is harmless."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
