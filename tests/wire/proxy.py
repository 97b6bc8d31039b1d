"""A loopback proxy that forwards plain requests, opens tunnels and records request lines."""

from __future__ import annotations

import contextlib
import socket
import threading

from synapse_agent_sdk.testing.server import FaultServer


class Proxy(FaultServer):
    """A proxy and a context manager that closes every connection it opened.

    Args:
        refusal: Response to every request, instead of forwarding it.
    """

    def __init__(self, refusal: bytes | None = None) -> None:
        super().__init__([], on_accept=[])
        self.asked: list[str] = []
        self._refusal = refusal

    def _serve(self, connection: socket.socket, number: int) -> None:  # noqa: ARG002 - signature of the base class
        with contextlib.suppress(OSError), connection:
            data = b""
            while b"\r\n\r\n" not in data:
                if not (chunk := connection.recv(65536)):
                    return
                data += chunk
            line = data.partition(b"\r\n")[0].decode()
            self.asked.append(line)
            if self._refusal is not None:
                connection.sendall(self._refusal)
                connection.shutdown(socket.SHUT_RDWR)
                return
            method, target, _ = line.split()
            host, _, port = (target if method == "CONNECT" else target.split("/")[2]).rpartition(":")
            with socket.create_connection((host, int(port))) as upstream:
                if method == "CONNECT":
                    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = "/" + target.split("/", 3)[3]
                    upstream.sendall(data.replace(target.encode(), path.encode(), 1))
                back = threading.Thread(target=_pump, args=(upstream, connection))
                back.start()
                _pump(connection, upstream)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
