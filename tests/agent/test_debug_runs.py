"""Debug runs: from a folder of sources, from modules that are sent along, or from both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.helpers import client_of, detail, result_of, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

SOURCES = {
    "ocr/__init__.py": "NAME = 'sources'",
    "ocr/main.py": "from ocr import NAME, helper\ndef run(params): return [NAME, helper.VALUE, params]",
    "ocr/helper.py": "VALUE = 'from the sources'",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that debug runs may load from."""
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def debugger(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an agent without releases that loads debug runs from that folder."""
    with ThreadedAgent(tmp_path_factory.mktemp("empty"), debug_roots=[root]) as agent, client_of(agent) as http:
        yield http


@pytest.fixture
def sources(root: Path, tmp_path: Path) -> Path:
    """The folder of a plugin, in the folder that debug runs may load from."""
    return write_plugin(root / tmp_path.name, "ocr", SOURCES, {"run": "ocr.main:run"})


def debug(http: httpx.Client, **body: Any) -> httpx.Response:
    """Run the action `run` with a body for a debug run."""
    return http.post("/plugin_releases/run_debug/", json={"action": "run", **body})


def test_runs_from_a_folder(debugger: httpx.Client, sources: Path) -> None:
    """An action runs from the sources in a folder, and no release comes of it."""
    answer = debug(debugger, plugin_path=str(sources), params={"a": 1})
    assert result_of(answer) == ["sources", "from the sources", {"a": 1}]
    assert debugger.get("/plugin_releases/").json()["count"] == 0


def test_sees_edited_sources(debugger: httpx.Client, sources: Path) -> None:
    """The next run sees what was edited, were it the same second and the same length."""
    for value in ("AAA", "BBB"):
        (sources / "ocr" / "helper.py").write_text(f"VALUE = '{value}'")
        assert result_of(debug(debugger, plugin_path=str(sources)))[1] == value
    assert not (sources / "ocr" / "__pycache__").exists()


def test_failure_shows_paths_within_the_sources(debugger: httpx.Client, sources: Path) -> None:
    """The traceback of a debug run has paths within the plugin, not those of the machine."""
    (sources / "ocr" / "main.py").write_text("def run(params):\n    raise ValueError('no')")
    text = detail(debug(debugger, plugin_path=str(sources)))
    assert 'File "ocr/main.py", line 2, in run' in text
    assert str(sources) not in text


def test_relative_path_is_from_the_agent_s_folder(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative plugin_path counts from the agent's current folder, which is the default of what may be loaded."""
    write_plugin(tmp_path / "here", "ocr", SOURCES, {"run": "ocr.main:run"})
    monkeypatch.chdir(tmp_path / "here")
    with ThreadedAgent(registry) as agent, client_of(agent) as http:
        assert result_of(debug(http, plugin_path="ocr"))[0] == "sources"
        assert result_of(debug(http, plugin_path="./ocr/../ocr/"))[0] == "sources"
        assert debug(http, plugin_path="..").status_code == 403


@pytest.mark.parametrize("place", ["/", "/etc", "{sources}/..", "{sources}/../..", "{beside}", "{link}", "nosuch", "~"])
def test_path_outside_the_roots_is_forbidden(debugger: httpx.Client, root: Path, place: str) -> None:
    """A plugin_path outside the folders that may be loaded from is 403, also by `..`, and by a link."""
    beside = root.with_name(root.name + "2")
    beside.mkdir(exist_ok=True)
    link = root / "link"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc")
    path = place.format(sources=root, beside=beside, link=link)
    assert debug(debugger, plugin_path=path).status_code == 403


def test_agent_without_roots_loads_from_nowhere(registry: Path, tmp_path: Path) -> None:
    """With an empty list of folders to load from, every plugin_path is 403, and modules that are sent still run."""
    with ThreadedAgent(registry, debug_roots=[]) as agent, client_of(agent) as http:
        assert debug(http, plugin_path=str(tmp_path)).status_code == 403
        assert debug(http, plugin_path=str(Path.cwd())).status_code == 403
        config = {"actions": {"run": {"entrypoint": "m:run"}}}
        assert result_of(debug(http, config=config, modules={"m": "def run(params): return 1"})) == 1


@pytest.mark.parametrize(
    "path", ["{sources}/nosuch", "{sources}/ocr/config.yaml", "", " ", "a\x00b", "{sources}/" + "a" * 300]
)
def test_path_that_is_no_folder_is_unprocessable(debugger: httpx.Client, sources: Path, path: str) -> None:
    """A plugin_path that is no folder is 422 and says so."""
    response = debug(debugger, plugin_path=path.format(sources=sources.parent))
    assert response.status_code == 422
    assert "plugin_path" in detail(response)


def test_config_is_merged_over_that_of_the_sources(debugger: httpx.Client, sources: Path) -> None:
    """Objects of the config are merged at every depth, all else is replaced, and actions may be added."""
    with (sources / "config.yaml").open("a") as file:
        file.write("env: {A: 1, B: 1}\nlabels: [x, y]\n")
    config = {
        "env": {"B": 2},
        "labels": ["z"],
        "actions": {"show": {"entrypoint": "ocr.show:show"}, "run": {"method": "task"}},
    }
    (sources / "ocr" / "show.py").write_text("def show(params, context): return context.config")
    shown = result_of(debug(debugger, action="show", plugin_path=str(sources), config=config))
    assert (shown["env"], shown["labels"], shown["code"]) == ({"A": 1, "B": 2}, ["z"], "ocr")
    assert shown["actions"]["run"] == {"entrypoint": "ocr.main:run", "method": "task"}
    assert result_of(debug(debugger, plugin_path=str(sources)))[0] == "sources"


def test_folder_needs_no_config(debugger: httpx.Client, sources: Path) -> None:
    """A folder without config.yaml runs with the config that is sent along."""
    (sources / "config.yaml").unlink()
    assert detail(debug(debugger, plugin_path=str(sources))) == "There is no action 'run'. Actions: none."
    config = {"actions": {"run": {"entrypoint": "ocr.main.run"}}}
    assert result_of(debug(debugger, plugin_path=str(sources), config=config))[0] == "sources"


def test_broken_config_is_named(debugger: httpx.Client, sources: Path) -> None:
    """A config.yaml that does not parse is 422 with its file, in one line."""
    (sources / "config.yaml").write_text("a: b: c")
    response = debug(debugger, plugin_path=str(sources))
    assert response.status_code == 422
    assert str(sources / "config.yaml") in detail(response)
    assert "\n" not in detail(response)


@pytest.mark.parametrize("entrypoint", [None, 1, "", "run", "a b:c", "a:b:c", "../a:b", "a/b:c", "a:", ":b", "1a:b"])
def test_bad_entrypoint_is_unprocessable(debugger: httpx.Client, entrypoint: Any) -> None:
    """An action whose entrypoint is not `module:attribute` is 422, and the answer shows the right form."""
    response = debug(debugger, config={"actions": {"run": {"entrypoint": entrypoint}}})
    assert response.status_code == 422
    assert "plugin.train:train" in detail(response)


@pytest.mark.parametrize("actions", [None, [], "run", 1, {"run": "m:run"}, {"run": None}])
def test_odd_actions_are_unprocessable(debugger: httpx.Client, actions: Any) -> None:
    """A config whose actions are no mapping to entrypoints is 422."""
    assert debug(debugger, config={"actions": actions}).status_code == 422


def test_module_is_laid_over_the_sources(debugger: httpx.Client, sources: Path) -> None:
    """A module that is sent along takes the place of the sources' own; all others stay, and the file is not changed."""
    answer = debug(debugger, plugin_path=str(sources), modules={"ocr.helper": "VALUE = 'sent'"})
    assert result_of(answer) == ["sources", "sent", {}]
    assert "sent" not in (sources / "ocr" / "helper.py").read_text()


def test_module_that_is_new_joins_its_package(debugger: httpx.Client, sources: Path) -> None:
    """A module that the package of the sources does not have can be imported from it, and imports from it."""
    config = {"actions": {"run": {"entrypoint": "ocr.extra:run"}}}
    modules = {"ocr.extra": "from .helper import VALUE\ndef run(params): return VALUE"}
    assert result_of(debug(debugger, plugin_path=str(sources), config=config, modules=modules)) == "from the sources"


def test_package_itself_can_be_sent(debugger: httpx.Client, sources: Path) -> None:
    """A module of a package's name takes the place of its `__init__`, and the package keeps its other modules."""
    answer = debug(debugger, plugin_path=str(sources), modules={"ocr": "NAME = 'sent'"})
    assert result_of(answer) == ["sent", "from the sources", {}]
    answer = debug(debugger, plugin_path=str(sources), modules={"ocr": "NAME = 'sent'", "ocr.helper": "VALUE = 'too'"})
    assert result_of(answer) == ["sent", "too", {}]


def test_modules_run_alone(debugger: httpx.Client) -> None:
    """With modules and a config alone no folder is needed; packages between them need not be sent."""
    modules = {
        "deep.er.main": "from deep.er import tools\nfrom .. import other\n"
        "def run(params): return [tools.A, other.B, __name__]",
        "deep.er.tools": "A = 1",
        "deep.other": "B = 2",
    }
    config = {"actions": {"run": {"entrypoint": "deep.er.main:run"}}}
    assert result_of(debug(debugger, config=config, modules=modules)) == [1, 2, "deep.er.main"]


def test_traceback_quotes_a_module_that_was_sent(debugger: httpx.Client) -> None:
    """A failure in a module that was sent shows its line, as one in a file."""
    config = {"actions": {"run": {"entrypoint": "deep.main:run"}}}
    text = detail(
        debug(debugger, config=config, modules={"deep.main": "def run(params):\n    return params['missing']"})
    )
    assert "File \"deep/main.py\", line 2, in run\n    return params['missing']" in text


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "1a", "a-b", "a/b", "../a", "a b", "a\n", "a.py/", "__main__.\x00"]
)
def test_bad_module_name_is_unprocessable(debugger: httpx.Client, name: str) -> None:
    """A module name that is not dotted identifiers is 422 and quoted."""
    response = debug(debugger, modules={name: ""}, config={"actions": {"run": {"entrypoint": "a:b"}}})
    assert response.status_code == 422
    assert repr(name) in detail(response)
