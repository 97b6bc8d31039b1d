"""A stand-in for an agent in its own process: a plain asyncio protocol, faster than any client.

A path prefix configures the responses, and clients pass it as part of the URL: `/<releases>/<milliseconds>` has that
number of releases, and waits that long before it sends a page. A release whose version is a number, such as `of@1000`,
has about that many bytes.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

RELEASE = {
    "plugin": "text_stats",
    "version": "1.0.0",
    "created": "2026-01-01T00:00:00Z",
    "size": 4096,
    "actions": ["analyze"],
    "config": {"name": "Text statistics", "code": "text_stats", "version": "1.0.0", "data_type": "text"},
}
RESULT = {"words": 180, "characters": 1024, "lines": 40, "most_common": [["the", 12], ["a", 9], ["of", 7]]}


def answer(body: bytes) -> bytes:
    """Build a whole response."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


RUN = answer(json.dumps(RESULT).encode())


@lru_cache(maxsize=256)
def respond(target: str, host: str) -> tuple[bytes, float]:
    """Return the response to a GET, and the seconds to wait before sending it."""
    url = urlsplit(target)
    _, releases, milliseconds, *rest = url.path.split("/", 4)
    if rest[-1:] == [""]:
        query = parse_qs(url.query)
        page, size = int(query.get("page", ["1"])[0]), int(query.get("page_size", ["100"])[0])
        return answer(page_of(f"http://{host}{url.path}", int(releases), page, size)), int(milliseconds) / 1000
    version = unquote(rest[-1]).rpartition("@")[2]
    padding = "x" * max(0, int(version) - 300) if "@" in unquote(rest[-1]) else ""
    return answer(json.dumps({"id": 7, **RELEASE, "log": padding}).encode()), 0


def page_of(url: str, releases: int, page: int, size: int) -> bytes:
    """Build a page of a list, with absolute links."""
    first = (page - 1) * size
    following = f"{url}?page={page + 1}&page_size={size}" if first + size < releases else None
    previous = f"{url}?page={page - 1}&page_size={size}" if page > 1 else None
    results = [{"id": number, **RELEASE} for number in range(first + 1, min(first + size, releases) + 1)]
    return json.dumps({"count": releases, "next": following, "previous": previous, "results": results}).encode()


class StandIn(asyncio.Protocol):
    """Responds to each complete request, reading only as much of the headers as needed."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.held = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond once the request is complete; clients send one at a time."""
        self.held = data = self.held + data if self.held else data
        head, blank, body = data.partition(b"\r\n\r\n")
        if not blank:
            return
        if data.startswith(b"POST"):
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if len(body) < int(length):
                return
            self.held = b""
            self.transport.write(RUN)
            return
        self.held = b""
        target = data[4 : data.index(b" ", 4)].decode()
        host, port = self.transport.get_extra_info("sockname")
        response, seconds = respond(target, f"{host}:{port}")
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self.transport.write, response)
        else:
            self.transport.write(response)


async def serve() -> None:
    """Listen on a free port, print the URL, and stop when stdin is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(StandIn, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def stand_in() -> Iterator[str]:
    """Run the stand-in for the duration of the block, and yield its URL."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stdin is not None  # noqa: S101 - pipes; for the type checker
        assert process.stdout is not None  # noqa: S101 - as above
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve())
