"""Run every benchmark, print a table, and write JSON and pictures: `make bench`. No result makes it fail.

.venv/bin/python -m benchmarks docs/performance [--published /path/to/python] [--scale 1] [--pictures]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import agent, clients, growth, layers, pictures, programs
from benchmarks.measure import interleaved, ratio
from benchmarks.server import stand_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.measure import Taken

LISTED = 10_000
RATIOS = [
    ("sync `get`, a call", "get", "SDK", "httpx", 0.8),
    ("sync `run`, a call", "run", "SDK", "httpx", 0.8),
    ("async, 2,000 gets, 50 at a time", "async", "SDK", "httpx", 0.25),
    ("async, 2,000 gets, 50 at a time", "async", "SDK", "aiohttp", 4.0),
    ("`list_all`, 10,000 releases", "list", "SDK", "httpx", 0.95),
    ("`list_all`, 10,000 releases, 20 ms a page", "slow list", "SDK", "httpx", 0.2),
    ("the same, async", "slow list", "SDK, async", "httpx, async", 0.2),
    ("import of the client, whole process", "start", "import SDK", "import httpx", 1.2),
    ("the first client made, whole process", "start", "AgentClient()", "import httpx", 1.4),
]
VALUES = [
    ("`iter_plugin_releases` over 1,000,000, memory beyond the start", "memory", "MiB", "MiB", 5),
    ("`synapse-agent --help`", "help", "synapse-agent --help", "ms", 150),
    ("base install, beside pip", "install", "distributions", "distributions", 12),
    ("base install, beside pip", "install", "megabytes", "MB", 10),
    ("local agent, warm run beyond its `/health/`, p50", "agent", "keyed_run_over_health_p50", "ms", 1),
    ("local agent, cold run, p50", "agent", "cold_run_p50", "ms", 150),
    ("local agent, page of 100 at 100,000 releases, p50", "agent", "first_p50", "ms", 20),
    ("local agent, runs a second, 8 callers", "agent", "runs_per_second", "", -1000),
]
"""A negative target is a lower bound."""


def measure(published: str | None, scale: float) -> dict[str, Any]:
    """Run every benchmark; a scale below 1 reduces all counts."""

    def some(number: int, least: int = 1) -> int:
        return max(least, round(number * scale))

    taken: dict[str, Taken] = {}
    values: dict[str, dict[str, float]] = {}
    with stand_in() as server:
        say("calls, one after the other")
        listed = f"{server}/{some(LISTED, 200)}"
        with clients.sync_calls(f"{listed}/0", some(200), published) as calls:
            taken |= {name: interleaved(samples, some(15)) for name, samples in calls.items()}
        say("calls, many at once")
        taken["async"] = interleaved(clients.async_gets(f"{listed}/0", some(2000, 50), some(50, 2)), some(5))
        say("lists whose pages take 20 ms")
        taken["slow list"] = interleaved(clients.slow_lists(f"{listed}/20"), some(3))
        say("memory")
        values["memory"] = programs.memory_of_iteration(f"{server}/{some(1_000_000, 2000)}/0")
        say("growth")
        grown = {
            "callers": growth.callers(
                f"{listed}/0", [1, 2, 5, 10, 20, 50, 100, 200, 500][: some(9, 3)], some(1000, 20), some(2)
            ),
            "payload": growth.payload(f"{listed}/0", [10**n for n in range(3, 3 + some(6, 3))], some(5)),
            "releases": growth.releases(server, [10**n for n in range(2, 2 + some(5, 2))], some(3)),
        }
    say("starts")
    with programs.base_install() as python:
        values["install"] = programs.size_of_install(python)
        taken["start"] = interleaved(programs.starts(python, published), some(15))
    taken["help"] = interleaved(programs.help_of_the_command_line(), some(10))
    values["help"] = {"synapse-agent --help": statistics.median(taken["help"]["synapse-agent --help"]) * 1000}
    say("the local agent")
    values["agent"] = {
        **agent.list_page(some(100_000, 300), some(50, 5)),
        **agent.cold_run(some(20, 2)),
        **agent.warm_runs(some(500, 10)),
        **agent.throughput(seconds=5 * min(scale, 1)),
    }
    say("layers")
    network = statistics.median(taken["get"]["socket"])
    return {
        "machine": machine(),
        "medians": {
            group: {name: statistics.median(each) for name, each in samples.items()} for group, samples in taken.items()
        },
        "values": values,
        "rows": [*ratios(taken), *bounds(values)],
        "layers": layers.layers(network, some(100, 5), some(30, 2)),
        "growth": grown,
    }


def say(what: str) -> None:
    """Print what is being measured."""
    print(f"{time.strftime('%H:%M:%S')} {what} ...", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Describe the machine and the package versions."""
    packages = ("synapse-agent-sdk", "httpx", "httpcore", "h11", "anyio")
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "packages": {name: version(name) for name in packages},
    }


def ratios(taken: Mapping[str, Taken]) -> list[dict[str, Any]]:
    """Return a row for each measured ratio with a target."""
    return [
        {"what": what, "to": to, "value": ratio(taken[group][ours], taken[group][to]), "unit": "", "target": target}
        for what, group, ours, to, target in RATIOS
        if to in taken[group]
    ]


def bounds(values: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return a row for each number with a target."""
    return [
        {"what": what, "to": "", "value": values[group][name], "unit": unit, "target": top}
        for what, group, name, unit, top in VALUES
    ]


def table(results: Mapping[str, Any]) -> str:
    """Return the results and their targets as a table."""
    lines = ["| what | measured | target | |", "| --- | --- | --- | --- |"]
    for row in results["rows"]:
        value, target, unit = row["value"], row["target"], row["unit"]
        measured = f"{value:.3g} of {row['to']}" if row["to"] else f"{value:,.4g} {unit}".strip()
        aim = f"at least {-target:,}" if target < 0 else f"at most {target:g} {unit}".strip()
        kept = value >= -target if target < 0 else value <= target
        lines.append(f"| {row['what']} | {measured} | {aim} | {'yes' if kept else 'no'} |")
    lines += ["", "| medians | |", "| --- | --- |"]
    for group, medians in results["medians"].items():
        shown = ", ".join(f"{name} {spell(seconds)}" for name, seconds in medians.items())
        lines.append(f"| {group} | {shown} |")
    return "\n".join(lines)


def spell(seconds: float) -> str:
    """Format seconds in a suitable unit."""
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def main(arguments: list[str] | None = None) -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder for results.json and the pictures")
    parser.add_argument("--published", help="Python interpreter with the published synapse-sdk")
    parser.add_argument("--scale", type=float, default=1, help="factor for all counts")
    parser.add_argument("--pictures", action="store_true", help="only redraw the pictures from results.json")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "results.json"
    if options.pictures:
        results = json.loads(file.read_text(encoding="utf-8"))
    else:
        results = measure(options.published or None, options.scale)
        file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for name, picture in pictures.draw(results).items():
        (options.folder / name).write_text(picture, encoding="utf-8")
    print(table(results))
    page = options.folder.with_suffix(".md")
    if page.exists():
        before, _, rest = page.read_text(encoding="utf-8").partition("<!-- table -->\n")
        page.write_text(f"{before}<!-- table -->\n{table(results)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}")


if __name__ == "__main__":
    main()
