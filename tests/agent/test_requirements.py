"""Requirements of releases and of requests, installed from wheels that the tests build on the spot."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synapse_local_agent import Limits

from tests.agent.helpers import (
    client_at,
    client_of,
    create,
    detail,
    result_of,
    run_source,
    until,
    url_of,
    wheel,
    write_plugin,
)
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.agent.conftest import Serve

LOOK = "import sys\nfrom importlib.metadata import version\ndef run(params):\n"
LOOK += "    return [sys.prefix, {name: version(name) for name in params['names']}]"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels, which is all that the installer of an agent started later can reach."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, "washer", version)
    wheel(folder, "dryer", "1.0", "washer<2")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    for name in ("UV_NO_INDEX", "UV_OFFLINE", "UV_NO_CONFIG"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def installing(wheels: Path, registry: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of an agent that installs those wheels."""
    limits = Limits(max_running=4)
    with ThreadedAgent(registry, data=tmp_path / "data", limits=limits) as agent, client_of(agent) as http:
        yield http


def look(http: httpx.Client, requirements: list[str], *names: str) -> Any:
    """The environment of a run with requirements, and the versions that it has of some of them."""
    return result_of(run_source(http, LOOK, {"names": names}, requirements=requirements))


def environments(tmp_path: Path) -> list[Path]:
    """The environments that an agent has made."""
    return [path.parent for path in (tmp_path / "data" / "environments").glob("*/pyvenv.cfg")]


def test_requirements_of_a_request_are_there(installing: httpx.Client) -> None:
    """An action finds what the request requires, in the version that it asks for, with what that requires in turn."""
    assert look(installing, ["washer"], "washer")[1] == {"washer": "2.0"}
    assert look(installing, ["Washer == 1.*"], "washer")[1] == {"washer": "1.0"}
    assert look(installing, ["dryer"], "washer", "dryer")[1] == {"washer": "1.0", "dryer": "1.0"}


def test_requirements_of_a_release_and_of_a_request_add_up(installing: httpx.Client, registry: Path) -> None:
    """The release's requirements.txt, with its comments, holds for each of its runs, beside what the request adds."""
    text = "# what it needs\n\nwasher  # any\nwasher<2\n"
    write_plugin(registry, "ocr", {"plugin.py": LOOK, "requirements.txt": text})
    create(installing, "ocr")
    for further, names in (([], ["washer"]), (["dryer"], ["washer", "dryer"])):
        body = {"action": "run", "params": {"names": names}, "requirements": further}
        _, versions = result_of(installing.post("/plugin_releases/1/run/", json=body))
        assert versions == dict.fromkeys(names, "1.0")


def test_requirements_of_sources_hold_for_debug_runs(wheels: Path, registry: Path, tmp_path: Path) -> None:
    """A debug run has what the requirements.txt in its folder of sources asks for, as it stands then."""
    folder = write_plugin(tmp_path / "sources", "ocr", {"plugin.py": LOOK, "requirements.txt": "washer==1.0"})
    body = {"action": "run", "plugin_path": str(folder), "params": {"names": ["washer"]}}
    with ThreadedAgent(registry, debug_roots=[tmp_path / "sources"]) as agent, client_of(agent) as http:
        for version in ("1.0", "2.0"):
            (folder / "requirements.txt").write_text(f"washer=={version}")
            answer = result_of(http.post("/plugin_releases/run_debug/", json=body))
            assert answer[1] == {"washer": version}


def test_environment_is_made_once_for_a_set(installing: httpx.Client, tmp_path: Path) -> None:
    """The same requirements in another order, spelling or number share one environment, and others have another."""
    same = [["washer>=1", "dryer"], ["dryer", "Washer >= 1"], ["dryer", "washer>=1", "dryer"]]
    assert len({look(installing, requirements)[0] for requirements in same}) == 1
    look(installing, ["washer>=2"])
    assert len(environments(tmp_path)) == 2


def test_environment_is_used_again_without_the_wheels(
    wheels: Path, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was installed once serves later runs and the next agent on that data, where nothing can be reached then."""
    for _ in range(2):
        with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
            assert look(http, ["washer"], "washer")[1] == {"washer": "2.0"}
            for file in wheels.iterdir():
                file.unlink()
            monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
            assert look(http, ["washer"], "washer")[1] == {"washer": "2.0"}


def test_runs_at_the_same_time_make_an_environment_once(installing: httpx.Client, tmp_path: Path) -> None:
    """Runs that meet with one new set of requirements wait for one of them to install it."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: look(installing, ["dryer"], "dryer"), range(4)))
    assert len({prefix for prefix, _ in found}) == 1
    assert len(environments(tmp_path)) == 1


def test_agents_may_share_environments(wheels: Path, registry: Path, tmp_path: Path) -> None:
    """Two agents whose environments are in one folder do not get into each other's way."""
    (tmp_path / "shared").mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "environments").symlink_to(tmp_path / "shared")
    with (
        ThreadedAgent(registry, data=tmp_path / "one") as one,
        ThreadedAgent(registry, data=tmp_path / "two") as two,
        client_of(one) as first,
        client_of(two) as second,
        ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(lambda http: look(http, ["dryer"], "dryer"), [first, second] * 2))
    assert [versions for _, versions in found] == [{"dryer": "1.0"}] * 4
    assert len(list((tmp_path / "shared").glob("*/pyvenv.cfg"))) == 1


def test_warm_process_is_kept_for_its_environment(installing: httpx.Client, registry: Path) -> None:
    """A process of a release is used again for the same requirements alone."""
    source = "import os\ndef run(params): return os.getpid()"
    write_plugin(registry, "ocr", {"plugin.py": source})
    create(installing, "ocr")

    def process(*requirements: str) -> Any:
        body = {"action": "run", "requirements": requirements}
        return result_of(installing.post("/plugin_releases/1/run/", json=body))

    assert process("washer") == process("washer")
    assert len({process("washer"), process("dryer"), process()}) == 3


def test_programs_of_an_environment_are_found(installing: httpx.Client) -> None:
    """What a requirement brings along as a program is first on the action's PATH."""
    source = "import shutil, sys\ndef run(params): return shutil.which('washer-tool').startswith(sys.prefix)"
    assert result_of(run_source(installing, source, requirements=["washer"])) is True


@pytest.mark.parametrize("requirement", ["httpx", "HTTPX>=0.1", "washer; python_version < '3'", "attrs>=1,!=2"])
def test_what_the_agent_has_is_not_installed(installing: httpx.Client, tmp_path: Path, requirement: str) -> None:
    """What the agent's own environment has, or what does not apply to its Python, needs no installing."""
    assert result_of(run_source(installing, "def run(params): return 1", requirements=[requirement])) == 1
    assert environments(tmp_path) == []


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        (["washer==9"], "washer==9"),
        (["nosuch-package"], "nosuch-package"),
        (["washer==2.0", "dryer"], "dryer"),
    ],
)
def test_requirements_that_cannot_be_had(
    installing: httpx.Client, tmp_path: Path, requirements: list[str], reason: str
) -> None:
    """A set that cannot be resolved is 422 requirements_failed with the resolver's last lines, and leaves nothing."""
    for _ in range(2):
        response = run_source(installing, "def run(params): return 1", requirements=requirements)
        assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed")
        assert reason in detail(response)
        assert "cannot be installed" in detail(response)
    left = [path.name for path in (tmp_path / "data" / "environments").iterdir()]
    assert [name for name in left if not name.endswith(".lock")] == []
    assert list((tmp_path / "data" / "runs").iterdir()) == []
    assert look(installing, ["washer"], "washer")[1] == {"washer": "2.0"}


OPTIONS = ["--index-url=http://127.0.0.1:1/", "-i x", "--find-links .", "-r other.txt", "-e .", "--", "-"]


@pytest.mark.parametrize("entry", [*OPTIONS, "", "washer ==", "./washer", "washer\n--index-url x", "washer --pre"])
def test_entry_that_is_no_requirement_is_refused(installing: httpx.Client, registry: Path, entry: str) -> None:
    """An option, a path or a text that is no requirement is 422 and quoted, from a request and from a release alike."""
    response = run_source(installing, "def run(params): return 1", requirements=["washer", entry])
    assert (response.status_code, response.json()["error_type"]) == (422, "requirements_failed")
    assert repr(entry) in detail(response)
    write_plugin(registry, "ocr", {"plugin.py": "def run(params): return 1", "requirements.txt": f"washer\n{entry}\n"})
    create(installing, "ocr")
    if entry:
        assert installing.post("/plugin_releases/1/run/", json={"action": "run"}).status_code == 422


def test_requirements_file_that_cannot_be_read(installing: httpx.Client, registry: Path) -> None:
    """A release whose requirements.txt is no text is 422 at its runs, and the answer says so."""
    folder = write_plugin(registry, "ocr", {"plugin.py": "def run(params): return 1"})
    (folder / "requirements.txt").write_bytes(b"\xff\xfe")
    create(installing, "ocr")
    response = installing.post("/plugin_releases/1/run/", json={"action": "run"})
    assert response.status_code == 422
    assert "requirements.txt cannot be read" in detail(response)


def test_environment_that_was_left_half_made(installing: httpx.Client, tmp_path: Path) -> None:
    """What an agent that was killed while it installed has left is made anew, and never used."""
    prefix = look(installing, ["washer"])[0]
    (environment,) = environments(tmp_path)
    assert environment.samefile(prefix)
    partial = environment.with_suffix(".partial")
    environment.rename(partial)
    (partial / "bin" / "python").unlink()
    assert look(installing, ["washer"], "washer") == [prefix, {"washer": "2.0"}]
    assert not partial.exists()


def test_environment_whose_python_is_gone(installing: httpx.Client, tmp_path: Path) -> None:
    """A process that cannot be started is action_crashed and says why, and other runs go on."""
    look(installing, ["washer"])
    (environment,) = environments(tmp_path)
    (environment / "bin" / "python").unlink()
    response = run_source(installing, LOOK, requirements=["washer"])
    assert (response.status_code, response.json()["error_type"]) == (500, "action_crashed")
    assert "cannot be started" in detail(response)
    assert result_of(run_source(installing, "def run(params): return 1")) == 1


def test_unused_environment_is_swept(wheels: Path, registry: Path, tmp_path: Path) -> None:
    """An environment that no run used for too long goes, and is made again where it is asked for."""
    limits = Limits(keep_environments=0.3, sweep_interval=0.02)
    with ThreadedAgent(registry, data=tmp_path / "data", limits=limits) as agent, client_of(agent) as http:
        look(http, ["washer"])
        until(lambda: not environments(tmp_path))
        assert look(http, ["washer"], "washer")[1] == {"washer": "2.0"}


def test_environments_that_take_too_much_are_swept(wheels: Path, registry: Path, tmp_path: Path) -> None:
    """Where environments take more room than they may, those go that were not used for longest."""
    size = 0
    with ThreadedAgent(registry, data=tmp_path / "data") as agent, client_of(agent) as http:
        first, second = (look(http, [f"washer=={version}"])[0] for version in ("1.0", "2.0"))
        size = sum(int((path / "size").read_text()) for path in environments(tmp_path))
        look(http, ["washer==1.0"])
    limits = Limits(keep_environments_size=size - 1)
    with ThreadedAgent(registry, data=tmp_path / "data", limits=limits) as agent, client_of(agent) as http:
        result_of(run_source(http, "def run(params): return 1"))
        until(lambda: not Path(second).exists())
        assert Path(first).exists()


def test_environment_in_use_is_not_swept(wheels: Path, registry: Path, tmp_path: Path) -> None:
    """An environment stays for as long as a process of it is kept, however long ago that had its last run."""
    limits = Limits(keep_environments=0, sweep_interval=0.02)
    source = "import os\ndef run(params): return os.getpid()"
    write_plugin(registry, "ocr", {"plugin.py": source, "requirements.txt": "washer"})
    write_plugin(registry, "plain", {"plugin.py": source})
    with ThreadedAgent(registry, data=tmp_path / "data", limits=limits) as agent, client_of(agent) as http:
        create(http, "ocr")
        first = result_of(http.post("/plugin_releases/1/run/", json={"action": "run"}))
        look(http, ["washer==1.0"])
        until(lambda: len(environments(tmp_path)) == 1)
        assert result_of(http.post("/plugin_releases/1/run/", json={"action": "run"})) == first
        assert http.delete("/plugin_releases/1").status_code == 204
        until(lambda: not environments(tmp_path))


@pytest.mark.parametrize("option", ["--keep-environments 0", "--keep-environments-size 0"])
def test_option_of_what_is_kept_of_environments(wheels: Path, serve: Serve, tmp_path: Path, option: str) -> None:
    """An environment of an earlier agent goes at the first run where the option of `serve` says so."""
    process = serve("--data", tmp_path / "data", SYNAPSE_AGENT_TOKEN="token")
    with client_at(url_of(process), "token") as http:
        look(http, ["washer"])
    process.terminate()
    process.wait()
    assert len(environments(tmp_path)) == 1
    process = serve("--data", tmp_path / "data", *option.split(), SYNAPSE_AGENT_TOKEN="token")
    with client_at(url_of(process), "token") as http:
        result_of(run_source(http, "def run(params): return 1"))
        until(lambda: not environments(tmp_path))
