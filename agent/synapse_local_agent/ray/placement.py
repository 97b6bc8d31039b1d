"""Placement: the resources that a job's config requests, and whether any node has them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synapse_local_agent.errors import RequirementsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse_local_agent.runs.model import Job

NAMES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""Resource names in a config, and Ray's names for them."""
INSTALLERS = ("uv", "pip")


@dataclass(frozen=True, slots=True)
class Placement:
    """The resources and runtime environment that a job requests."""

    resources: dict[str, float]
    """Amounts of CPU, GPU, memory (bytes) and custom resources."""
    runtime_env: dict[str, Any]
    """Ray's `runtime_env`, without the sources."""
    max_retries: int
    """Maximum number of retries if the job's process or node dies."""


def placement(job: Job) -> Placement:
    """Read the placement from a job's config; settings of the action override those at the top level.

    Raises:
        RequirementsError: If a setting is invalid.
    """
    action = job.config.get("actions", {}).get(job.action)
    asked = {**job.config, **(action if isinstance(action, dict) else {})}
    resources: dict[str, float] = {"CPU": 1}
    own = asked.get("resources")
    for name, value in (own if isinstance(own, dict) else {"resources": own}).items():
        if value is not None:
            resources[name] = _number(f"resources: {name}", value)
    for name, resource in NAMES.items():
        value = asked.get(name)
        if value is not None:
            resources[resource] = _number(name, value)
    retries = asked.get("max_retries") or 0
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        msg = f"max_retries in the plugin's config must be a whole number, 0 or more, not {retries!r:.100}"
        raise RequirementsError(msg)
    return Placement(resources, _runtime_env(asked.get("runtime_env"), job), retries)


def check(placed: Placement, nodes: Sequence[Mapping[str, float]]) -> None:
    """Raise an error if no node could ever run a job, so that it does not wait forever.

    Args:
        placed: The requested resources.
        nodes: The total resources of each node.

    Raises:
        UnavailableError: If no node has enough; the message says what the nodes have.
    """
    asked = {name: amount for name, amount in placed.resources.items() if amount}
    if any(fits(placed, node) for node in nodes):
        return
    most_gpus = max((node.get("GPU", 0) for node in nodes), default=0)
    found = "; ".join(sorted({_shown({name: node.get(name, 0) for name in asked}) for node in nodes}))
    msg = f"The action needs {_shown(asked)} on one node. The cluster has {len(nodes)} nodes with {found}."
    raise UnavailableError(msg, "gpu_unavailable" if asked.get("GPU", 0) > most_gpus else None)


def fits(placed: Placement, free: Mapping[str, float]) -> bool:
    """Whether the free resources are enough for a placement."""
    return all(free.get(name, 0) >= amount for name, amount in placed.resources.items())


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        msg = f"{name} in the plugin's config must be a number, 0 or more, not {value!r:.100}"
        raise RequirementsError(msg)
    return value


def _runtime_env(given: Any, job: Job) -> dict[str, Any]:
    """The config's runtime_env with the job's requirements; the agent adds the sources."""
    given = {} if given is None else given
    if not isinstance(given, dict) or given.keys() & {"working_dir", "py_modules"}:
        msg = "runtime_env in the plugin's config must be a mapping without working_dir and py_modules"
        raise RequirementsError(msg)
    env = dict(given)
    if job.requirements:
        installer = next((name for name in INSTALLERS if name in env), "pip")
        below = env.get(installer, [])
        options = dict(below) if isinstance(below, dict) else {"packages": below}
        if not isinstance(options.get("packages", []), list):
            msg = f"runtime_env: {installer} in the plugin's config must be a list of packages"
            raise RequirementsError(msg)
        options["packages"] = [*options.get("packages", []), *map(str, job.requirements)]
        env[installer] = options
    return env


def _shown(resources: Mapping[str, float]) -> str:
    """Format resources for a message.

    Example:
        >>> _shown({"CPU": 2, "GPU": 0.5, "memory": 2**30})
        '2 CPU, 0.5 GPU, 1024 MiB memory'
    """
    return ", ".join(
        f"{amount / 2**20:.0f} MiB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in resources.items()
    )
