"""Requirements of releases and requests, installed from wheels that the tests build."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from synapse_local_agent import Limits
from synapse_local_agent.errors import RequirementsError
from synapse_local_agent.releases.requirements import is_satisfied, requirements_of

from tests.agent import helpers
from tests.agent.helpers import client_of, detail, publish, result_of, run, run_source, until, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

LOOK = "import os, sys\nfrom importlib.metadata import version\ndef run(params):\n"
LOOK += "    return [sys.prefix, {name: version(name) for name in params.get('names', ())}, os.getpid()]"


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, the only source of packages for agents that start later."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        helpers.wheel(folder, "washer", version)
    helpers.wheel(folder, "dryer", "1.0", "washer<2")
    helpers.only_wheels(monkeypatch, folder, tmp_path / "cache")
    return folder


@pytest.fixture
def installing(registry: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of an agent that installs those wheels, and loads debug runs from the test's folder."""
    with ThreadedAgent(registry, data=tmp_path / "data", debug_roots=[tmp_path]) as agent, client_of(agent) as http:
        yield http


def look(http: httpx.Client, requirements: list[str], *names: str) -> Any:
    """The environment of a run with requirements, and the versions of some packages in it."""
    return result_of(run_source(http, LOOK, {"names": names}, requirements=requirements))[:2]


def environments(tmp_path: Path) -> list[Path]:
    """The environments of an agent."""
    return [path.parent for path in (tmp_path / "data" / "environments").glob("*/pyvenv.cfg")]


def test_requirements_of_a_request_are_there(installing: httpx.Client, tmp_path: Path) -> None:
    """An action can import its request's requirements, from one environment per set, or from the agent's."""
    assert look(installing, ["washer"], "washer")[1] == {"washer": "2.0"}
    same = [["washer>=1", "dryer"], ["dryer", "Washer >= 1"], ["dryer", "washer>=1", "dryer"]]
    found = [look(installing, requirements, "washer", "dryer") for requirements in same]
    assert found == [[found[0][0], {"washer": "1.0", "dryer": "1.0"}]] * 3
    source = "import shutil, sys\ndef run(params): return shutil.which('washer-tool').startswith(sys.prefix)"
    assert result_of(run_source(installing, source, requirements=["washer"])) is True
    assert result_of(run_source(installing, "def run(params): return 1", requirements=["httpx"])) == 1
    assert len(environments(tmp_path)) == 2
    for requirement in ("HTTPX>=0.1", "washer; python_version < '3'", "attrs>=1,!=2"):
        assert is_satisfied(Requirement(requirement)), requirement
    for requirement in ("washer", "httpx<0.1", "httpx[http2]", "httpx @ https://a.example/httpx.whl"):
        assert not is_satisfied(Requirement(requirement)), requirement


def test_requirements_of_a_release_and_of_a_request_add_up(installing: httpx.Client, registry: Path) -> None:
    """A release's requirements.txt applies to each of its runs and to debug runs, plus those of the request."""
    (registry / "ocr").mkdir()
    (registry / "ocr" / "requirements.txt").write_text("# what it needs\n\nwasher  # any\nwasher<2\n")
    publish(installing, registry, LOOK)
    processes = []
    for further, names in (([], ["washer"]), (["dryer"], ["washer", "dryer"]), ([], [])):
        _, versions, process = result_of(run(installing, params={"names": names}, requirements=further))
        assert versions == dict.fromkeys(names, "1.0")
        processes.append(process)
    assert processes[0] == processes[2] != processes[1]
    (registry / "ocr" / "requirements.txt").write_text("washer==2.0")
    debug = {"action": "run", "plugin_path": str(registry / "ocr"), "params": {"names": ["washer"]}}
    answer = installing.post("/plugin_releases/run_debug/", json=debug)
    assert result_of(answer)[1] == {"washer": "2.0"}


def test_environment_is_made_once(registry: Path, tmp_path: Path) -> None:
    """Concurrent runs with a new set of requirements, on one or two agents, make one environment."""
    (tmp_path / "data" / "environments").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "environments").symlink_to(tmp_path / "data" / "environments")
    with (
        ThreadedAgent(registry, data=tmp_path / "data") as one,
        ThreadedAgent(registry, data=tmp_path / "two") as two,
        client_of(one) as first,
        client_of(two) as second,
        ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(lambda http: look(http, ["dryer"], "dryer"), [first, second] * 2))
    assert [versions for _, versions in found] == [{"dryer": "1.0"}] * 4
    assert len(environments(tmp_path)) == 1


@pytest.mark.contract
def test_requirements_that_cannot_be_had(installing: httpx.Client, tmp_path: Path) -> None:
    """A set that cannot be resolved is 422 requirements_failed with the resolver's last lines, and leaves nothing."""
    for requirements in (["washer==9"], ["nosuch-package"], ["washer==2.0", "dryer"], ["washer==2.0", "dryer"]):
        response = run_source(installing, "def run(params): return 1", requirements=requirements)
        assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed")
        assert requirements[-1] in detail(response)
        assert "cannot be installed" in detail(response)
    assert {path.suffix for path in (tmp_path / "data" / "environments").iterdir()} == {".lock"}
    assert list((tmp_path / "data" / "runs").iterdir()) == []
    assert look(installing, ["washer"], "washer")[1] == {"washer": "2.0"}


NO_REQUIREMENTS = ["--index-url=http://127.0.0.1:1/", "-r other.txt", "-e .", "--", "", "washer ==", "./washer"]
NO_REQUIREMENTS += ["washer\n--index-url x", "washer --pre"]


def test_entry_that_is_no_requirement_is_refused(installing: httpx.Client, registry: Path, tmp_path: Path) -> None:
    """An option, a path or an invalid requirement is 422 and quoted, from a request or a release."""
    for entry in NO_REQUIREMENTS:
        response = run_source(installing, "def run(params): return 1", requirements=["washer", entry])
        assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed"), entry
        assert repr(entry) in detail(response)
        (tmp_path / "requirements.txt").write_text(f"washer\n{entry or '-'}\n")
        with pytest.raises(RequirementsError):
            requirements_of(tmp_path, [])
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(RequirementsError, match=r"requirements\.txt cannot be read"):
        requirements_of(tmp_path, [])
    write_plugin(registry, "ocr", {"requirements.txt": "washer\n--index-url x\n"})
    publish(installing, registry, LOOK)
    assert run(installing).json()["error_type"] == "requirements_failed"


def test_environment_is_reused(wheels: Path, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment is reused by later runs and agents without the wheels; a partial one is remade, or is a 503."""
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        prefix = look(http, ["washer"])[0]
        (environment,) = environments(tmp_path)
        partial = environment.with_suffix(".partial")
        environment.rename(partial)
        (partial / "bin" / "python").unlink()
        assert look(http, ["washer"], "washer") == [prefix, {"washer": "2.0"}]
        assert not partial.exists()
    for file in wheels.iterdir():
        file.unlink()
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        assert look(http, ["washer"], "washer") == [prefix, {"washer": "2.0"}]
        (environment / "bin" / "python").unlink()
        response = run_source(http, LOOK, requirements=["washer"])
        assert (response.status_code, "cannot be started" in detail(response)) == (503, True)
        assert result_of(run_source(http, "def run(params): return 1")) == 1


def test_environments_are_swept(registry: Path, tmp_path: Path) -> None:
    """Expired environments are removed, then the least recently used above the size limit, but never one in use."""
    data = tmp_path / "data"
    with ThreadedAgent(registry, data=data) as agent, client_of(agent) as http:
        first, second = (look(http, [f"washer=={version}"])[0] for version in ("1.0", "2.0"))
        size = sum(int((path / "size").read_text()) for path in environments(tmp_path))
        look(http, ["washer==1.0"])
    with ThreadedAgent(registry, data=data, limits=Limits(keep_environments_size=size - 1)):
        until(lambda: not Path(second).exists())
        assert Path(first).exists()
    write_plugin(registry, "ocr", {"requirements.txt": "washer"})
    limits = Limits(keep_environments=0, sweep_interval=0.02)
    with ThreadedAgent(registry, data=data, limits=limits) as agent, client_of(agent) as http:
        publish(http, registry, LOOK)
        found = result_of(run(http))
        until(lambda: [str(path) for path in environments(tmp_path)] == [found[0]])
        assert result_of(run(http)) == found
        assert http.delete("/plugin_releases/1").status_code == 204
        until(lambda: not environments(tmp_path))
        assert look(http, ["washer"], "washer")[1] == {"washer": "2.0"}
