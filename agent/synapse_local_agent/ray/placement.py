"""Where in a cluster a job may run: what its config asks for, and whether any node has it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synapse_local_agent.errors import RequirementsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synapse_local_agent.runs.model import Job

NAMES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
"""What a config calls a resource, and what Ray calls it."""
INSTALLERS = ("uv", "pip")


@dataclass(frozen=True, slots=True)
class Placement:
    """What a job takes of a node, and how the node is made ready for it."""

    resources: dict[str, float]
    """How much of what Ray calls CPU, GPU and memory (bytes), and of what a cluster names itself."""
    runtime_env: dict[str, Any]
    """Ray's `runtime_env`, without the sources."""
    max_retries: int
    """How often a job is repeated whose process or node died."""


def placement(job: Job) -> Placement:
    """What a job's config asks for: at its action, or for all actions at the top.

    Raises:
        RequirementsError: If that makes no sense.
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
    """Refuse what no node of a cluster could ever take, so that nobody waits for it.

    Args:
        placed: What is asked for.
        nodes: What each node has, free or not.

    Raises:
        UnavailableError: If no node has that much; it says what there is.
    """
    asked = {name: amount for name, amount in placed.resources.items() if amount}
    if any(fits(placed, node) for node in nodes):
        return
    most_gpus = max((node.get("GPU", 0) for node in nodes), default=0)
    found = "; ".join(sorted({_shown({name: node.get(name, 0) for name in asked}) for node in nodes}))
    msg = f"The action needs {_shown(asked)} on one node. The cluster has {len(nodes)} nodes, which have {found}."
    raise UnavailableError(msg, "gpu_unavailable" if asked.get("GPU", 0) > most_gpus else None)


def fits(placed: Placement, free: Mapping[str, float]) -> bool:
    """Whether what is free is enough for a placement."""
    return all(free.get(name, 0) >= amount for name, amount in placed.resources.items())


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        msg = f"{name} in the plugin's config must be a number, 0 or more, not {value!r:.100}"
        raise RequirementsError(msg)
    return value


def _runtime_env(given: Any, job: Job) -> dict[str, Any]:
    """The config's runtime_env with the job's requirements and variables; the sources stay the agent's to give."""
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
            msg = f"runtime_env: {installer} in the plugin's config must list packages: requirements are added"
            raise RequirementsError(msg)
        options["packages"] = [*options.get("packages", []), *map(str, job.requirements)]
        env[installer] = options
    return env


def _shown(resources: Mapping[str, float]) -> str:
    """Resources for a person.

    Example:
        >>> _shown({"CPU": 2, "GPU": 0.5, "memory": 2**30})
        '2 CPU, 0.5 GPU, 1024 MiB memory'
    """
    return ", ".join(
        f"{amount / 2**20:.0f} MiB memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in resources.items()
    )
