"""Cost of each layer of one `get`: the same exchange through one more layer at a time, without a network.

The network is measured separately, with a plain socket. The cost of a layer is the difference from the layer below.
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
    """A stream with the same response to every request."""

    def __init__(self) -> None:
        super().__init__([])

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the whole response."""
        del max_bytes, timeout
        return ANSWER


class Network(httpcore.MockBackend):
    """A network without connections."""

    def __init__(self) -> None:
        super().__init__([])

    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        """Return an in-memory stream."""
        return Memory()


def samples(times: int) -> dict[str, Any]:
    """Return the exchange through each layer."""
    parser = h11.Connection(h11.CLIENT)
    transport = httpx.HTTPTransport()
    transport._pool._network_backend = Network()  # noqa: SLF001 - there is no public parameter
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
    """Return the microseconds of each layer of the SDK and raw httpx, from the best round.

    Args:
        network: Seconds of an exchange over a plain socket.
        times: Exchanges per sample.
        rounds: Number of samples.
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
