"""Where the time of one `get` goes: the same exchange through one layer more at a time, without a network.

The network is measured by itself, with a bare socket. What a layer costs is the difference to the one below it.
"""

from __future__ import annotations

import json
from typing import Any

import h11
import httpcore
import httpx
from synapse_agent_sdk import AgentClient

from benchmarks.clients import GET, HEADERS, TOKEN
from benchmarks.measure import interleaved, timed
from benchmarks.server import respond

AGENT = "http://127.0.0.1:8600/1/0"
ANSWER, _ = respond(f"/1/0{GET}", "127.0.0.1:8600")
BODY = ANSWER.partition(b"\r\n\r\n")[2]


class Memory(httpcore.MockStream):
    """A stream that gives the same answer to every request."""

    def __init__(self) -> None:
        super().__init__([])

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The whole answer."""
        del max_bytes, timeout
        return ANSWER


class Network(httpcore.MockBackend):
    """Connects to nothing."""

    def __init__(self) -> None:
        super().__init__([])

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        """A stream in memory."""
        return Memory()


def samples(times: int) -> dict[str, Any]:
    """The exchange through each layer."""
    parser = h11.Connection(h11.CLIENT)
    transport = httpx.HTTPTransport()
    transport._pool._network_backend = Network()  # noqa: SLF001 - nobody else has one to give
    raw = httpx.Client(base_url=AGENT, headers=HEADERS, trust_env=False, transport=transport)
    ours = AgentClient(AGENT, TOKEN, trust_env=False)
    ours._http._transport._pool._backend = Network()  # type: ignore[attr-defined]  # noqa: SLF001 - as above
    request = raw.build_request("GET", GET)
    connection = httpcore.HTTP11Connection(httpcore.Origin(b"http", b"127.0.0.1", 8600), Memory())
    url = httpcore.URL(scheme=b"http", host=b"127.0.0.1", port=8600, target=request.url.raw_path)
    plain = httpcore.Request("GET", url, headers=request.headers.raw)

    def through_h11() -> None:
        parser.send(h11.Request(method="GET", target=request.url.raw_path, headers=request.headers.raw))
        parser.send(h11.EndOfMessage())
        parser.receive_data(ANSWER)
        while not isinstance(parser.next_event(), h11.EndOfMessage):
            pass
        parser.start_next_cycle()

    def through_httpcore() -> None:
        response = connection.handle_request(plain)
        response.read()
        response.close()

    own = ours._http._transport  # noqa: SLF001 - as above

    return {
        "json": timed(lambda: json.loads(BODY), times),
        "h11": timed(through_h11, times),
        "httpcore": timed(through_httpcore, times),
        "SDK's transport": timed(lambda: own.handle_request(request).read(), times),
        "httpx's transport": timed(lambda: transport.handle_request(request).read(), times),
        "SDK": timed(lambda: ours.get_plugin_release(7), times),
        "httpx": timed(lambda: raw.get(GET).json(), times),
    }


def layers(network: float, times: int, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds of each layer, of ours and of raw httpx; the best of the rounds, since nothing is waited for.

    Args:
        network: Seconds of an exchange over a bare socket.
        times: How many exchanges a sample has.
        rounds: How many samples.
    """
    best = {name: min(values) * 1e6 for name, values in interleaved(samples(times), rounds).items()}
    return {
        name: {
            "network and server": network * 1e6,
            "h11": best["h11"],
            "httpcore's connection": best["httpcore"] - best["h11"],
            "transport and pool": best[f"{name}'s transport"] - best["httpcore"],
            "client": best[name] - best[f"{name}'s transport"] - best["json"],
            "JSON": best["json"],
        }
        for name in ("SDK", "httpx")
    }
