"""Conversions from the body of a run request to a job, and from its outcome to the response."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from synapse_local_agent.errors import RegistryError, RequirementsError
from synapse_local_agent.releases.registry import CONFIG, entrypoint
from synapse_local_agent.releases.requirements import requirements_of
from synapse_local_agent.runs.model import Job
from synapse_local_agent.web.messages import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from synapse_local_agent.runs.model import Outcome

VARIABLE = re.compile(r"[^=\0]+")
MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def check_modules(names: Iterable[str]) -> None:
    """Raise a 422 for an invalid module name."""
    for name in names:
        if not MODULE_NAME.fullmatch(name):
            raise ApiError(422, f"modules: {name!r} is not a module name, such as plugin.train.")


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`: objects are merged recursively, everything else is replaced.

    Example:
        >>> merge({"actions": {"train": {"method": "job"}}}, {"actions": {"train": {"entrypoint": "a:b"}}})
        {'actions': {'train': {'method': 'job', 'entrypoint': 'a:b'}}}
    """
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def job(
    body: dict[str, Any],
    config: dict[str, Any],
    folder: Path | None,
    *,
    digest: str | None = None,
    modules: dict[str, str] | None = None,
) -> Job:
    """Build the job for a request.

    Args:
        body: The body of the request.
        config: The plugin's config.
        folder: The plugin's source folder.
        digest: The hash of the folder if it belongs to a release.
        modules: Sources that take precedence over those in the folder.

    Raises:
        ApiError: If the config has no such action, or a requirement is invalid.
    """
    try:
        target = entrypoint(config, body["action"])
        requirements = requirements_of(folder, body.get("requirements", ()))
    except (LookupError, RegistryError) as error:
        raise ApiError(422, str(error.args[0])) from None
    except RequirementsError as error:
        raise ApiError(422, f"requirements: {error}.", "requirements_failed") from None
    return Job(
        action=body["action"],
        entrypoint=target,
        params=json.dumps(body.get("params", {})).encode(),
        sources=folder,
        digest=digest,
        modules=modules or {},
        requirements=requirements,
        variables=variables(config),
        plugin=config.get("code"),
        version=config.get("version"),
        config=config,
        job_id=body.get("job_id"),
        language=body.get("language"),
    )


def variables(config: dict[str, Any]) -> dict[str, str]:
    """The environment variables that a config sets for its actions.

    Example:
        >>> variables({"env": {"MODE": "fast", "THREADS": 4, "DEBUG": True}})
        {'MODE': 'fast', 'THREADS': '4', 'DEBUG': 'true'}
    """
    given = config.get("env")
    given = {} if given is None else given
    found = {}
    for name, value in given.items() if isinstance(given, dict) else [("", given)]:
        text = value if isinstance(value, str) else json.dumps(value)
        if not VARIABLE.fullmatch(name) or "\0" in text or isinstance(value, (dict, list)) or value is None:
            raise ApiError(422, f"env: {name!r} in {CONFIG} must be a variable name with a string, number or boolean.")
        found[name] = text
    return found


def reply(outcome: Outcome) -> tuple[int, bytes]:
    """The response status and body for an outcome."""
    if outcome.error_type is None:
        return 200, outcome.result
    body = {"detail": outcome.detail, "error_type": outcome.error_type}
    return (504 if outcome.error_type == "action_timeout" else 500), json.dumps(body).encode()
