"""The process of a `LocalAgent`, started as `python -P agent_process.py FD OWNER`. `local_agent` is its owner."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER_SECONDS = 1.0
"""How often to check that the owner still runs: a fork of it may keep the socket open."""


def main(control: socket.socket, owner: int) -> None:
    """Serve until the owner shuts the socket down or ends."""
    control.set_inheritable(False)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again after it has stopped
        signal.signal(number, signal.default_int_handler)
    try:
        with control.makefile("rb") as stream:
            sys.path[:] = pickle.load(stream)  # noqa: S301 - of the owner, which started this program
            options = pickle.load(stream)  # noqa: S301 - as above
        from synapse_local_agent.server import Server

        with _folder(options.pop("data"), options.pop("temporary")) as data:
            given = {name: value for name, value in options.items() if value is not None}
            server = Server(data=data, grace=0, on_started=lambda url: _answer(control, url), **given)
            threading.Thread(target=_stop_with_owner, args=(server, control, owner), daemon=True).start()
            server.serve_forever()
    except Exception as error:  # noqa: BLE001 - the owner raises it
        _answer(control, error)


@contextlib.contextmanager
def _folder(data: Path | None, temporary: str) -> Iterator[Path]:
    """The given data folder, or a temporary one."""
    if data is not None:
        yield data
        return
    with tempfile.TemporaryDirectory(prefix="synapse-agent-", dir=temporary, ignore_cleanup_errors=True) as made:
        yield Path(made)


def _answer(control: socket.socket, value: str | Exception) -> None:
    """Send the owner the URL or the error; it reads only the first message."""
    try:
        data = pickle.dumps(value)
    except Exception:  # noqa: BLE001 - not every error can be pickled
        data = pickle.dumps(RuntimeError(f"The agent did not start: {value!r}"))
    with contextlib.suppress(OSError):  # the owner has ended
        control.sendall(data)


def _stop_with_owner(server: Any, control: socket.socket, owner: int) -> None:
    """Stop the server once the socket is shut down or the owner has ended."""
    control.settimeout(OWNER_SECONDS)
    while os.getppid() == owner:
        with contextlib.suppress(TimeoutError):
            control.recv(1)
            break
    server.should_exit = True


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), socket.socket(fileno=int(sys.argv[1])) as end:
        main(end, int(sys.argv[2]))
