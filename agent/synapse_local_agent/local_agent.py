"""`LocalAgent`: an agent in its own process, controlled by its owner.

A socket pair connects the two. The owner sends the options, and the agent replies with its URL or with the error that
prevented its start. The agent stops when the socket is shut down or the owner ends for any reason. None of the agent's
code runs in the owner, so frozen time, other event loops, threads and forks there do not affect it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import socket
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from synapse_local_agent.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synapse_local_agent.runs.executor import MakeExecutor

PROGRAM = Path(__file__).with_name("agent_process.py")
STOP_SECONDS = 60
"""How long the agent may take to stop before it is killed; its workers then end by themselves."""


class LocalAgent:
    """A local agent in its own process, for the length of a `with` block.

    It stops on `stop()`, at the end of the block, when the object is garbage-collected, or when this process ends. It
    logs warnings to this process's standard error.

    Args:
        registry: The folder of plugins.
        data: The data folder; a temporary one if omitted.
        token: The agent token, of visible ASCII characters; a random one if omitted.
        host: The address to listen on.
        port: The port to listen on; 0 picks a free one.
        debug_roots: The folders that debug runs may load from; the current folder if omitted.
        limits: The limits of runs; the defaults if omitted.
        allowed_hosts: Host names that callers may use besides `host` and the loopback names.
        executor: A picklable factory of the executor; if omitted, actions run in processes on this machine.

    Raises:
        ImportError: If the agent's packages are not installed; the message says how to install them.
        RegistryError: If the registry is not a folder, or a plugin in it is invalid.
        TokenError: If the token is empty or has invalid characters.
        OSError: If the port is in use.
        DataInUseError: If another agent uses the data folder.
        RuntimeError: If the agent's process ends before it accepts connections.

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
        executor: MakeExecutor | None = None,
    ) -> None:
        self.token = secrets.token_urlsafe(32) if token is None else token
        self._options: dict[str, Any] = {
            "registry": Path(registry),
            "data": None if data is None else Path(data),
            "token": self.token,
            "host": host,
            "port": port,
            "debug_roots": [Path(root) for root in (["."] if debug_roots is None else debug_roots)],
            "allowed_hosts": tuple(allowed_hosts),
            "limits": limits or Limits(),
            "executor": executor,
        }
        self._url: str | None = None
        self._stop: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"LocalAgent(url={self._url!r})"

    @property
    def url(self) -> str:
        """The URL of the running agent."""
        if self._url is None:
            msg = "The agent is not running: call start(), or use it in a with block"
            raise RuntimeError(msg)
        return self._url

    def start(self) -> Self:
        """Start the agent and wait until it accepts connections; return it."""
        if self._url is not None:
            msg = "The agent is already running"
            raise RuntimeError(msg)
        options = pickle.dumps({**self._options, "temporary": tempfile.gettempdir()})
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as on_failure:
            on_failure.enter_context(ours)
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-P", str(PROGRAM), str(theirs.fileno()), str(os.getpid())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C in a terminal goes to the owner, which stops the agent
                )
            on_failure.callback(_stop, os.getpid(), ours, process)
            # sys.path comes first: the agent needs it to unpickle the options.
            self._url = _start(ours, pickle.dumps(sys.path) + options, process)
            self._stop = weakref.finalize(self, _stop, os.getpid(), ours, process)
            on_failure.pop_all()
        return self

    def stop(self) -> None:
        """Stop the agent and its running actions, and free its port and data folder. Safe to call twice."""
        self._url = None
        if self._stop is not None:
            self._stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _start(ours: socket.socket, options: bytes, process: subprocess.Popen[bytes]) -> str:
    """Send the agent its options, and wait for its URL."""
    with ours.makefile("rb") as stream:
        try:
            ours.sendall(options)
            answer = pickle.load(stream)  # noqa: S301 - from our own program, which runs no plugin code
        except (EOFError, OSError):
            code = process.wait()
            msg = f"The agent's process ended with exit code {code} before it was ready: see its error output"
            raise RuntimeError(msg) from None
    match answer:
        case ImportError():
            msg = f"The local agent needs further packages: pip install 'synapse-agent-sdk[agent]' ({answer})"
            raise ImportError(msg) from answer
        case Exception():
            raise answer
        case _:
            return str(answer)


def _stop(owner: int, ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Stop the agent and wait until its process has ended; a fork of the owner only closes the socket."""
    with ours:
        if os.getpid() != owner:
            process.returncode = 0  # so that nobody waits for it: it is not a child of this process
            return
        with contextlib.suppress(OSError):  # the agent has already ended
            ours.shutdown(socket.SHUT_WR)
            ours.settimeout(STOP_SECONDS)  # kept by the kernel: a test may have frozen the time
            try:
                ours.recv(1)  # the stream ends when its process ends
            except TimeoutError:
                process.kill()
        process.wait()
