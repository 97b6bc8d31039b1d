"""The channel between the agent and its gateway: messages over a socket pair, each a length and a pickle.

Both ends are this project's code on one machine, and nothing that an action wrote is unpickled: params, results and
logs are bytes within the messages.
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
    """One end of the channel. Use it on one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Create a channel over a connected socket, which it owns."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, *message: Any) -> None:
        """Send a message; it is dropped if the channel is closing."""
        if self._writer.is_closing():
            return
        data = pickle.dumps(message)
        self._writer.writelines((LENGTH.pack(len(data)), data))

    async def receive(self) -> tuple[Any, ...] | None:
        """Receive the next message, or None if the other end has closed."""
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            message: tuple[Any, ...] = pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - from our own program
        except (asyncio.IncompleteReadError, OSError):
            return None
        return message

    def close(self) -> None:
        """Close this end."""
        self._writer.close()
