"""A proxy on loopback: it forwards plain requests and opens tunnels, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class Proxy:
    """The proxy; a context manager that closes everything it opened.

    Args:
        refusal: What it answers to every request, in place of carrying it out.
    """

    def __init__(self, refusal: bytes | None = None) -> None:
        self.asked: list[str] = []
        self._refusal = refusal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]  # each is callable
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                if not (chunk := client.recv(65536)):
                    return
                data += chunk
            line = data.partition(b"\r\n")[0].decode()
            self.asked.append(line)
            if self._refusal is not None:
                client.sendall(self._refusal)
                client.shutdown(socket.SHUT_RDWR)
                return
            method, target, _ = line.split()
            address = target if method == "CONNECT" else target.split("/")[2]
            host, _, port = address.rpartition(":")
            upstream = socket.create_connection((host, int(port)))
            self._sockets.append(upstream)
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                upstream.sendall(data.replace(target.encode(), path.encode(), 1))
            self._start(_pump, client, upstream)
            _pump(upstream, client)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
