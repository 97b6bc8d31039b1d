"""Cluster resources requested by a plugin's config."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.requirements import Requirement
from synapse_local_agent.errors import RequirementsError, UnavailableError
from synapse_local_agent.ray.placement import Placement, check, placement
from synapse_local_agent.runs.model import Job

from tests.unit.helpers import refusal

NODES = [{"CPU": 1, "memory": 2**30}, {"CPU": 4, "memory": 2**31, "GPU": 1}]


def asked(config: dict[str, Any], *requirements: str) -> Placement:
    """The placement of a job of the action `run`."""
    unused: dict[str, Any] = dict.fromkeys(
        ["params", "modules", "variables", "plugin", "version", "job_id", "language"]
    )
    wanted = [Requirement(entry) for entry in requirements]
    return placement(Job(action="run", entrypoint="plugin:run", requirements=wanted, config=config, **unused))


def test_action_settings_override_plugin_settings() -> None:
    """An action's settings override the plugin's; the default is one CPU and no retries."""
    assert asked({}) == Placement({"CPU": 1}, {}, 0)
    action = {"num_cpus": 0.5, "num_gpus": 1, "max_retries": 3}
    config = {"num_cpus": 2, "memory": 5, "resources": {"licence": 1}, "actions": {"run": action}}
    assert asked(config) == Placement({"CPU": 0.5, "licence": 1, "memory": 5, "GPU": 1}, {}, 3)


def test_requirements_join_the_runtime_env() -> None:
    """Requirements are added to the packages of the config's runtime_env, for its installer."""
    assert asked({}, "washer==1").runtime_env == {"pip": {"packages": ["washer==1"]}}
    given: dict[str, Any] = {"pip": ["dryer"]}
    assert asked({"runtime_env": given}, "washer==1").runtime_env == {"pip": {"packages": ["dryer", "washer==1"]}}
    given = {"uv": {"packages": ["dryer"], "uv_version": "==0.8"}, "env_vars": {"A": "b"}}
    expected = {**given, "uv": {"packages": ["dryer", "washer==1"], "uv_version": "==0.8"}}
    assert asked({"runtime_env": given}, "washer==1").runtime_env == expected


def test_unsupported_values_are_rejected() -> None:
    """A value that Ray does not support is rejected by name."""
    wrong: list[tuple[str, Any]] = [
        *(("num_cpus", "1"), ("num_gpus", -1), ("memory", True), ("num_cpus", float("nan"))),
        *(("resources", 1.5j), ("resources", {"licence": "one"}), ("max_retries", 1.5), ("max_retries", -1)),
        *(("runtime_env", []), ("runtime_env", {"working_dir": "/"}), ("runtime_env", {"pip": "requirements.txt"})),
    ]
    for name, value in wrong:
        assert name in refusal(RequirementsError, asked, {name: value}, "washer")


def test_resources_beyond_any_node_are_unavailable() -> None:
    """Resources beyond any single node are rejected, listing the nodes; missing GPUs have their own error_type."""
    for config in ({}, {"num_gpus": 1}, {"num_cpus": 4, "memory": 2**31}, {"num_cpus": 0}):
        check(asked(config), NODES)
    lacking = (({"num_gpus": 2}, "gpu_unavailable"), ({"num_gpus": 1, "num_cpus": 8}, None), ({"memory": 2**32}, None))
    for config, error_type in lacking:
        with pytest.raises(UnavailableError, match="The cluster has 2 nodes with ") as caught:
            check(asked(config), NODES)
        assert caught.value.error_type == error_type
