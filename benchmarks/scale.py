"""How the throughput of CPU-bound actions grows with workers: on this machine and on one-CPU cluster nodes.

    .venv/bin/python -m benchmarks.scale docs/performance     # writes scale.json and scale.svg, in about two minutes

An action computes on one core. Eight callers keep the workers busy, and the result is actions per second as seen by the
callers. All nodes run on this machine, so its cores limit the growth.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray.cluster_utils import Cluster
from synapse_agent_sdk import AgentClient
from synapse_local_agent import Limits, LocalAgent
from synapse_local_agent.processes.executor import LocalExecutor
from synapse_local_agent.ray.executor import OnRay

from benchmarks import pictures

if TYPE_CHECKING:
    from synapse_local_agent.runs.executor import MakeExecutor

CALLERS = 8
WORKERS = (1, 2, 4)
COMPUTE = """
def run(params):
    total = 0
    for number in range(params["steps"]):
        total += number * number % 7
    return total
"""
CONFIG = "code: compute\nversion: 1.0.0\nactions: {run: {entrypoint: 'plugin:run'}}\n"


def throughput(registry: Path, executor: MakeExecutor, workers: int, *, steps: int, seconds: float) -> float:
    """Return the actions per second with all workers warm."""
    limits = Limits(max_running=workers)
    with (
        LocalAgent(registry, executor=executor, limits=limits) as agent,
        AgentClient(agent.url, agent.token) as client,
        ThreadPoolExecutor(CALLERS) as pool,
    ):
        release = client.create_plugin_release("compute", "1.0.0")

        def call(until: float) -> int:
            done = 0
            while time.monotonic() < until:
                client.run_plugin_release(release, "run", {"steps": steps})
                done += 1
            return done

        sum(pool.map(call, [time.monotonic() + seconds / 2] * CALLERS))  # warm-up
        begun = time.monotonic()
        done = sum(pool.map(call, [begun + seconds] * CALLERS))
        return done / (time.monotonic() - begun)


def scale(*, steps: int = 1_000_000, seconds: float = 8.0) -> dict[str, Any]:
    """Measure throughput by number of workers, with local processes and with a cluster."""
    here, there = "processes", "Ray"
    found: dict[str, list[tuple[int, float]]] = {here: [], there: []}
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder)
        (registry / "compute").mkdir()
        (registry / "compute" / "plugin.py").write_text(COMPUTE, encoding="utf-8")
        (registry / "compute" / "config.yaml").write_text(CONFIG, encoding="utf-8")
        for workers in WORKERS:
            rate = throughput(registry, LocalExecutor, workers, steps=steps, seconds=seconds)
            found[here].append((workers, rate))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        try:
            for workers in WORKERS:
                while len(cluster.worker_nodes) < workers:
                    cluster.add_node(num_cpus=1)
                on_ray = OnRay(cluster.address)
                found[there].append((workers, throughput(registry, on_ray, workers, steps=steps, seconds=seconds)))
        finally:
            cluster.shutdown()
    title = f"Actions that compute, on {os.cpu_count()} cores"
    return {"title": title, "x": "workers", "y": "actions a second", "points": found}


def main(folder: Path) -> None:
    """Measure, and write the numbers and the picture."""
    curve = scale()
    (folder / "scale.json").write_text(json.dumps(curve, indent=2) + "\n", encoding="utf-8")
    (folder / "scale.svg").write_text(pictures.plot(curve), encoding="utf-8")
    for name, line in curve["points"].items():
        print(name, ", ".join(f"{workers} workers: {rate:.1f} a second" for workers, rate in line))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
