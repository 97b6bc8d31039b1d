"""What a plugin's config asks of a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from packaging.requirements import Requirement
from synapse_local_agent.cluster.placement import Placement, check, placement
from synapse_local_agent.executor import Job, RequirementsError, UnavailableError

NODES = [{"CPU": 1, "memory": 2**30}, {"CPU": 4, "memory": 2**31, "GPU": 1}]


def job(config: dict[str, Any], requirements: tuple[str, ...] = ()) -> Job:
    """A job of the action `run`."""
    return Job(
        action="run",
        entrypoint="plugin:run",
        params=b"{}",
        modules={},
        requirements=[Requirement(entry) for entry in requirements],
        variables={},
        plugin=None,
        version=None,
        config=config,
        job_id=None,
        language=None,
    )


def test_nothing_asked_takes_one_cpu() -> None:
    """A config that asks for nothing takes one CPU, and is not repeated."""
    assert placement(job({})) == Placement({"CPU": 1}, {}, 0)


def test_action_comes_before_the_top() -> None:
    """What the action asks for comes before what the config asks for all of them."""
    config = {
        "num_cpus": 2,
        "memory": 5,
        "resources": {"licence": 1},
        "actions": {"run": {"num_cpus": 0.5, "num_gpus": 1, "max_retries": 3}},
    }
    assert placement(job(config)) == Placement({"CPU": 0.5, "licence": 1, "memory": 5, "GPU": 1}, {}, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"pip": {"packages": ["washer==1"]}}),
        ({"pip": ["dryer"]}, {"pip": {"packages": ["dryer", "washer==1"]}}),
        (
            {"uv": {"packages": ["dryer"], "uv_version": "==0.8"}, "env_vars": {"A": "b"}},
            {"uv": {"packages": ["dryer", "washer==1"], "uv_version": "==0.8"}, "env_vars": {"A": "b"}},
        ),
    ],
)
def test_requirements_join_the_runtime_env(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """Requirements are added to the packages of the config's runtime_env, with the installer that it names."""
    assert placement(job({"runtime_env": given}, ("washer==1",))).runtime_env == expected


@pytest.mark.parametrize(
    "config",
    [
        {"num_cpus": "1"},
        {"num_gpus": -1},
        {"memory": True},
        {"resources": 1.5j},
        {"resources": {"licence": "one"}},
        {"num_cpus": float("nan")},
        {"max_retries": 1.5},
        {"max_retries": -1},
        {"runtime_env": []},
        {"runtime_env": {"working_dir": "/"}},
        {"runtime_env": {"py_modules": []}},
        {"runtime_env": {"pip": "requirements.txt"}},
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    """A value that Ray could not use is refused, with its name."""
    with pytest.raises(RequirementsError, match=next(iter(config))):
        placement(job(config, ("washer",)))


@pytest.mark.parametrize(
    ("config", "error_type"),
    [
        ({"num_gpus": 2}, "gpu_unavailable"),
        ({"num_gpus": 1, "num_cpus": 8}, None),
        ({"num_cpus": 5}, None),
        ({"memory": 2**32}, None),
    ],
)
def test_what_no_node_has_is_unavailable(config: dict[str, Any], error_type: str | None) -> None:
    """What no single node has is refused with what there is; a lack of GPUs has its own error_type."""
    with pytest.raises(UnavailableError, match="The cluster has 2 nodes, which have ") as caught:
        check(placement(job(config)), NODES)
    assert caught.value.error_type == error_type


@pytest.mark.parametrize("config", [{}, {"num_gpus": 1}, {"num_cpus": 4, "memory": 2**31}, {"num_cpus": 0}])
def test_what_a_node_has_is_available(config: dict[str, Any]) -> None:
    """What one node has is not refused, whether it is free or not."""
    check(placement(job(config)), NODES)
