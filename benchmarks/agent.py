"""Speed of the local agent over HTTP, measured with a minimal client.

    .venv/bin/python benchmarks/agent.py            # everything except growth, about a minute
    .venv/bin/python benchmarks/agent.py growth     # latency by number of releases and of concurrent callers

The agent is `synapse-agent serve` in its own process. Runs alternate with `/health/`, so that other load on the machine
affects both. Each function returns a dict of numbers, in milliseconds unless stated otherwise.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from synapse_local_agent.releases import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Numbers = dict[str, float]
TOKEN = "token-of-the-benchmark"  # noqa: S105 - of a short-lived agent on loopback
DIGEST = "0" * 64
NOOP = "def run(params):\n    return None\n"
CONFIG = {"code": "noop", "version": "1.0.0", "actions": {"run": {"entrypoint": "plugin:run"}}}
PAGES = {
    "first": "?page_size=100",
    "page_900": "?page_size=100&page=900",
    "last": "?page_size=100&page={last}",
    "of_a_plugin": "?page_size=100&plugin=plugin-7",
    "of_a_version": "?page_size=100&version=1.0.7",
    "of_both": "?page_size=100&plugin=plugin-7&version=1.0.7",
}


@dataclass(frozen=True)
class Agent:
    """A running agent."""

    address: tuple[str, int]
    process: int
    data: Path


class Caller:
    """A persistent connection that sends prepared bytes."""

    def __init__(self, agent: Agent) -> None:
        self._socket = socket.create_connection(agent.address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._socket.sendall(request)

    def receive(self) -> bytes:
        """Return the body of the response.

        Raises:
            RuntimeError: If the status is not 2xx.
        """
        data = self._socket.recv(2**20)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._socket.recv(2**20)
        head = data[:end].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(data) < end + 4 + length:
            data += self._socket.recv(2**20)
        if not head.startswith(b"http/1.1 20"):
            raise RuntimeError(data.decode())
        return data[end + 4 :]

    def call(self, request: bytes) -> bytes:
        """Send a request and return the response body."""
        self.send(request)
        return self.receive()


def request(method: str, path: str, body: object = None, key: str = "") -> bytes:
    """Build a request as bytes."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: {TOKEN}",
        f"Content-Length: {len(content)}",
    ]
    lines += ["Content-Type: application/json"] * bool(content) + [f"Idempotency-Key: {key}"] * bool(key)
    return "\r\n".join([*lines, "", ""]).encode() + content


HEALTH = request("GET", "/health/")
RUN = request("POST", "/plugin_releases/noop@1.0.0/run/", {"action": "run", "params": {"n": 1}})


def run_with_key() -> bytes:
    """Build a run with a new idempotency key, as the SDK sends it."""
    return request("POST", "/plugin_releases/noop@1.0.0/run/", {"action": "run", "params": {"n": 1}}, str(uuid4()))


@contextlib.contextmanager
def served(*options: str, releases: int = 0) -> Iterator[Agent]:
    """Start an agent with the plugin `noop` and a number of other cached releases."""
    with tempfile.TemporaryDirectory(prefix="synapse-bench-", ignore_cleanup_errors=True) as folder:
        registry, data = Path(folder, "registry"), Path(folder, "data")
        (registry / "noop").mkdir(parents=True)
        (registry / "noop" / "plugin.py").write_text(NOOP, encoding="utf-8")
        (registry / "noop" / "config.yaml").write_text(json.dumps(CONFIG), encoding="utf-8")
        if releases:
            store(data, releases)
        command = [str(Path(sys.executable).with_name("synapse-agent")), "serve", "--registry", str(registry)]
        command += ["--data", str(data), "--port", "0", "--log-level", "warning", *options]
        environment = {**os.environ, "SYNAPSE_AGENT_TOKEN": TOKEN}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - our own program
            try:
                assert process.stdout is not None  # noqa: S101 - a pipe; for the type checker
                port = int(process.stdout.readline().rpartition(":")[2])
                agent = Agent(("127.0.0.1", port), process.pid, data)
                with contextlib.closing(Caller(agent)) as caller:
                    caller.call(request("POST", "/plugin_releases/", {"plugin": "noop", "version": "1.0.0"}))
                yield agent
            finally:
                process.terminate()


def store(data: Path, releases: int) -> None:
    """Fill an agent's database, with up to a thousand versions of each plugin, in `synapse-agent`'s format."""
    (data / "releases" / DIGEST).mkdir(parents=True)
    plugins = max(releases // 1000, 10)
    with contextlib.closing(database.connect(data)) as connection, connection:
        names = ((f"plugin-{n % plugins}", f"1.0.{n // plugins}") for n in range(releases))
        rows = ((*name, DIGEST, config(*name), "2026-01-01T00:00:00.000Z", 900) for name in names)
        connection.executemany(
            "INSERT INTO releases (plugin, version, digest, config, created, size) VALUES (?, ?, ?, ?, ?, ?)", rows
        )


def config(code: str, version: str) -> str:
    """Return a config of typical size."""
    actions = {name: {"entrypoint": f"plugin.{name}:run", "method": "job"} for name in ("train", "infer", "export")}
    return json.dumps({"name": f"The plugin {code}", "code": code, "version": version, "actions": actions})


def latencies(
    caller: Caller, requests: Mapping[str, bytes | Callable[[], bytes]], rounds: int
) -> dict[str, list[float]]:
    """Return the latency of each request in each round, in milliseconds; requests alternate."""
    taken: dict[str, list[float]] = {name: [] for name in requests}
    for number in range(rounds + 20):
        for name, make in requests.items():
            sent = make if isinstance(make, bytes) else make()
            begun = time.perf_counter()
            caller.call(sent)
            if number >= 20:  # noqa: PLR2004 - warm-up
                taken[name].append((time.perf_counter() - begun) * 1000)
    return taken


def summary(taken: list[float], name: str) -> Numbers:
    """Return the median and the 99th percentile."""
    ordered = sorted(taken)
    return {f"{name}_p50": statistics.median(ordered), f"{name}_p99": ordered[int(len(ordered) * 0.99)]}


def warm_runs(rounds: int = 500) -> Numbers:
    """Measure warm no-op runs with and without an idempotency key, and `/health/`, with one caller."""
    with served() as agent, contextlib.closing(Caller(agent)) as caller:
        taken = latencies(caller, {"health": HEALTH, "run": RUN, "keyed_run": run_with_key}, rounds)
    found: Numbers = {}
    for name, values in taken.items():
        found |= summary(values, name)
    found["run_over_health_p50"] = found["run_p50"] - found["health_p50"]
    found["keyed_run_over_health_p50"] = found["keyed_run_p50"] - found["health_p50"]
    return found


def throughput(callers: int = 8, seconds: float = 5, call: str = "run") -> Numbers:
    """Measure callers that each send their next request after the previous response, all on one thread.

    The result has the calls per second and the CPU time per call, in milliseconds, of the agent, the action processes
    and this client.

    Args:
        callers: Number of callers.
        seconds: Duration.
        call: Request to send: `run`, `keyed_run` or `health`.
    """
    make: Callable[[], bytes] = {"run": lambda: RUN, "keyed_run": run_with_key, "health": lambda: HEALTH}[call]
    with served() as agent, contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        lines = [stack.enter_context(contextlib.closing(Caller(agent))) for _ in range(callers)]
        for line in lines[:8]:
            line.call(RUN)
        sent: dict[Caller, float] = {}
        for line in lines:
            selector.register(line, selectors.EVENT_READ, line)
        taken: list[float] = []
        cpu = (cpu_of([agent.process]), cpu_of(below(agent.process)), time.process_time())
        begun = time.perf_counter()
        for line in lines:
            sent[line] = time.perf_counter()
            line.send(make())
        while sent:
            for event, _ in selector.select():
                line = event.data
                line.receive()
                now = time.perf_counter()
                taken.append((now - sent.pop(line)) * 1000)
                if now < begun + seconds:
                    sent[line] = now
                    line.send(make())
        elapsed = time.perf_counter() - begun
        used = (cpu_of([agent.process]), cpu_of(below(agent.process)), time.process_time())
    each = [(after - before) * 1000 / len(taken) for before, after in zip(cpu, used, strict=True)]
    return {
        "callers": callers,
        f"{call}s_per_second": len(taken) / elapsed,
        **summary(taken, call),
        **dict(zip(("agent_cpu", "actions_cpu", "client_cpu"), each, strict=True)),
    }


def cpu_of(processes: list[int]) -> float:
    """Return the CPU time that processes have used, in seconds."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def below(process: int) -> list[int]:
    """Return the descendants of a process."""
    found = [process]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += map(int, (task / "children").read_text(encoding="ascii").split())
    return found[1:]


def cold_run(rounds: int = 20) -> Numbers:
    """Measure runs that start a process, with one caller and no requirements."""
    with served("--idle-limit", "0") as agent, contextlib.closing(Caller(agent)) as caller:
        return summary(latencies(caller, {"cold_run": RUN}, rounds)["cold_run"], "cold_run")


def list_page(releases: int = 100_000, rounds: int = 50) -> Numbers:
    """Measure pages of 100 releases, with and without filters and far back, and a warm run, with one caller."""
    last = releases // 100  # the plugin `noop` is alone on the page after that
    pages = {name: request("GET", f"/plugin_releases/{query.format(last=last)}") for name, query in PAGES.items()}
    if last < 900:  # noqa: PLR2004 - the page does not exist
        del pages["page_900"]
    with served(releases=releases) as agent, contextlib.closing(Caller(agent)) as caller:
        taken = latencies(caller, {**pages, "run": RUN, "health": HEALTH}, rounds)
    found: Numbers = {"releases": releases}
    for name, values in taken.items():
        found |= summary(values, name)
    return found


def growth() -> dict[str, list[Numbers]]:
    """Measure latency by number of stored releases and of concurrent callers."""
    return {
        "releases": [list_page(releases) for releases in (100, 1_000, 10_000, 100_000, 1_000_000)],
        "callers": [throughput(callers, seconds=3) for callers in (1, 2, 5, 10, 20, 50, 100, 200, 500)],
    }


def main() -> None:
    """Run as a program."""
    if sys.argv[1:] == ["growth"]:
        for name, curve in growth().items():
            print(f"\nagainst {name}")
            for point in curve:
                print("  " + "  ".join(f"{key} {value:.4g}" for key, value in point.items()))
        return
    measures: list[Callable[[], Numbers]] = [warm_runs, cold_run, list_page]
    measures += [functools.partial(throughput, call=call) for call in ("health", "run", "keyed_run")]
    for measure in measures:
        for name, value in measure().items():
            print(f"{name:>30} {value:10.3f}")
        print()


if __name__ == "__main__":
    main()
