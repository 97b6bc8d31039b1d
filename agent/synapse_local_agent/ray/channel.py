"""What the agent and its gateway tell each other: messages over a socket pair, each a length and a pickle.

Both ends are this project's code on one machine, and nothing that an action wrote is read as a pickle: params, results
and logs are bytes within the messages.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

LENGTH = struct.Struct(">Q")


class Channel:
    """One end. To be used on one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """The link over a connected socket, which it closes."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, *message: Any) -> None:
        """Send a message; one that cannot arrive any more is lost."""
        if self._writer.is_closing():
            return
        data = pickle.dumps(message)
        self._writer.writelines((LENGTH.pack(len(data)), data))

    async def receive(self) -> tuple[Any, ...] | None:
        """The next message, or None where the other end is gone."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            message: tuple[Any, ...] = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - of our own program
        except (asyncio.IncompleteReadError, OSError):
            return None
        return message

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
