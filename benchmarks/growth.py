"""How cost grows with concurrent callers, response size and number of releases."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
from synapse_agent_sdk import AgentClient, AsyncAgentClient

from benchmarks.clients import HEADERS, LIST, TOKEN, async_gets
from benchmarks.measure import interleaved, timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measure import Taken

MOST_MEASURED = 500_000
"""Number of releases from which a list is read only once per sample."""


def curve(title: str, xlabel: str, ylabel: str, points: dict[int, Taken]) -> dict[str, Any]:
    """Return a plot with the best round of each candidate at each point."""
    names = list(dict.fromkeys(name for taken in points.values() for name in taken))
    return {
        "title": title,
        "x": xlabel,
        "y": ylabel,
        "points": {name: [[x, min(taken[name])] for x, taken in points.items() if name in taken] for name in names},
    }


def callers(agent: str, numbers: Sequence[int], calls: int, rounds: int) -> dict[str, Any]:
    """Measure microseconds per get by number of concurrent callers."""
    points = {}
    for number in numbers:
        taken = interleaved(async_gets(agent, max(calls, number), number), rounds)
        points[number] = {
            name: [value / max(calls, number) * 1e6 for value in values] for name, values in taken.items()
        }
    return curve("Callers at once, async", "callers", "µs a get", points)


def payload(agent: str, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Measure milliseconds per get by response size in bytes."""
    points = {}
    with (
        AgentClient(agent, TOKEN, trust_env=False) as ours,
        httpx.Client(base_url=agent, headers=HEADERS, timeout=60, trust_env=False) as raw,
        asyncio.Runner() as runner,
    ):
        client = AsyncAgentClient(agent, TOKEN, trust_env=False)

        def awaited(lookup: str) -> object:
            return runner.run(client.get_plugin_release(lookup))

        def get(path: str) -> object:
            return raw.get(path).json()

        for size in sizes:
            times = min(100, max(1, 10_000_000 // size))  # a single call would have cold caches
            lookup = f"of@{size}"
            taken = interleaved(
                {
                    "SDK": timed(partial(ours.get_plugin_release, lookup), times),
                    "SDK, async": timed(partial(awaited, lookup), times),
                    "httpx": timed(partial(get, f"/plugin_releases/{lookup}"), times),
                },
                rounds,
            )
            points[size] = {name: [value * 1e3 for value in values] for name, values in taken.items()}
        runner.run(client.aclose())
    return curve("Size of an answer", "bytes", "ms a get", points)


def releases(server: str, numbers: Sequence[int], rounds: int) -> dict[str, Any]:
    """Measure microseconds per release by length of the list."""
    points = {}
    for number in numbers:
        agent = f"{server}/{number}/0"
        with (
            AgentClient(agent, TOKEN, trust_env=False) as ours,
            httpx.Client(base_url=agent, headers=HEADERS, trust_env=False) as raw,
        ):
            taken = interleaved(
                {
                    "SDK": timed(partial(iterate, ours)),
                    "httpx": timed(partial(follow, raw, agent)),
                },
                rounds if number < MOST_MEASURED else 1,
                warm_up=1 if number < MOST_MEASURED else 0,
            )
        points[number] = {name: [value / number * 1e6 for value in values] for name, values in taken.items()}
    return curve("Releases listed", "releases", "µs a release", points)


def iterate(client: AgentClient) -> None:
    """Iterate over all releases."""
    for _ in client.iter_plugin_releases():
        pass


def follow(client: httpx.Client, agent: str) -> None:
    """Iterate over all releases by following the links."""
    link = LIST
    while link:
        page = client.get(link).json()
        for _ in page["results"]:
            pass
        link = (page["next"] or "").removeprefix(agent)
