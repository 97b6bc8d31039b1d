"""Debug runs: from a source folder, from modules in the request, or from both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.helpers import client_of, detail, result_of, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

pytestmark = pytest.mark.contract
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
    """A plugin folder within the folder that debug runs may load from."""
    return write_plugin(root / tmp_path.name, "ocr", SOURCES, {"run": "ocr.main:run"})


def debug(http: httpx.Client, **body: Any) -> httpx.Response:
    """Run the action `run` with the body of a debug run."""
    return http.post("/plugin_releases/run_debug/", json={"action": "run", **body})


def run_at(entrypoint: Any) -> dict[str, Any]:
    """A config with the action `run` at an entrypoint."""
    return {"actions": {"run": {"entrypoint": entrypoint}}}


def test_failure_shows_own_paths_and_lines(debugger: httpx.Client, sources: Path) -> None:
    """A traceback has paths relative to the plugin, and quotes modules from the request like files."""
    (sources / "ocr" / "main.py").write_text("def run(params):\n    raise ValueError('no')")
    text = detail(debug(debugger, plugin_path=str(sources)))
    assert 'File "ocr/main.py", line 2, in run' in text
    assert str(sources) not in text
    modules = {"deep.main": "def run(params):\n    return params['missing']"}
    text = detail(debug(debugger, config=run_at("deep.main:run"), modules=modules))
    assert "File \"deep/main.py\", line 2, in run\n    return params['missing']" in text


def test_where_debug_runs_load_from(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default root is the agent's current folder, also for relative paths; without roots, no folder is allowed."""
    write_plugin(tmp_path / "here", "ocr", SOURCES, {"run": "ocr.main:run"})
    monkeypatch.chdir(tmp_path / "here")
    with ThreadedAgent(registry) as agent, client_of(agent) as http:
        assert result_of(debug(http, plugin_path="./ocr/../ocr/"))[0] == "sources"
        assert debug(http, plugin_path="..").status_code == 403
    with ThreadedAgent(registry, debug_roots=[]) as agent, client_of(agent) as http:
        for place in (tmp_path, Path.cwd()):
            assert debug(http, plugin_path=str(place)).status_code == 403
        assert result_of(debug(http, config=run_at("m:run"), modules={"m": "def run(params): return 1"})) == 1


def test_path_that_cannot_be_loaded(debugger: httpx.Client, root: Path, sources: Path) -> None:
    """A path outside the allowed folders is 403, also by `..` or a link; one that is not a folder is 422."""
    beside = root.with_name(root.name + "2")
    beside.mkdir()
    (root / "link").symlink_to("/etc")
    for place in ("/", f"{root}/../..", str(beside), f"{root}/link", "nosuch", "~"):
        assert debug(debugger, plugin_path=place).status_code == 403, place
    for place in (f"{sources}/nosuch", f"{sources}/config.yaml", " ", "a\x00b", f"{sources}/" + "a" * 300):
        response = debug(debugger, plugin_path=place)
        assert (response.status_code, "plugin_path" in detail(response)) == (422, True), place


def test_config_is_merged_over_that_of_the_sources(debugger: httpx.Client, sources: Path) -> None:
    """Config objects are merged recursively, everything else is replaced, and actions may be added."""
    with (sources / "config.yaml").open("a") as file:
        file.write("env: {A: 1, B: 1}\nlabels: [x, y]\n")
    actions = {"show": {"entrypoint": "ocr.show:show"}, "run": {"method": "task"}}
    config = {"env": {"B": 2}, "labels": ["z"], "actions": actions}
    (sources / "ocr" / "show.py").write_text("def show(params, context): return context.config")
    shown = result_of(debug(debugger, action="show", plugin_path=str(sources), config=config))
    assert (shown["env"], shown["labels"], shown["code"]) == ({"A": 1, "B": 2}, ["z"], "ocr")
    assert shown["actions"]["run"] == {"entrypoint": "ocr.main:run", "method": "task"}


def test_config_of_a_folder(debugger: httpx.Client, sources: Path) -> None:
    """An invalid config.yaml is 422 with its path, in one line; a folder needs no config.yaml."""
    config = sources / "config.yaml"
    config.write_text("a: b: c")
    response = debug(debugger, plugin_path=str(sources))
    assert response.status_code == 422
    assert (str(config) in detail(response), "\n" in detail(response)) == (True, False)
    config.unlink()
    assert detail(debug(debugger, plugin_path=str(sources))) == "There is no action 'run'. Actions: none."
    assert result_of(debug(debugger, plugin_path=str(sources), config=run_at("ocr.main.run")))[0] == "sources"


def test_names_of_no_form_are_unprocessable(debugger: httpx.Client) -> None:
    """An invalid entrypoint, actions mapping or module name is 422 with an example or the name."""
    for entrypoint in (None, 1, "", "run", "a b:c", "a:b:c", "../a:b", "a:", ":b", "1a:b"):
        response = debug(debugger, config=run_at(entrypoint))
        assert (response.status_code, "plugin.train:train" in detail(response)) == (422, True), entrypoint
    actions: Any
    for actions in (None, [], "run", {"run": "m:run"}):
        assert debug(debugger, config={"actions": actions}).status_code == 422, actions
    for name in ("", "a.", ".a", "a..b", "1a", "a-b", "../a", "a b", "a\n", "__main__.\x00"):
        response = debug(debugger, modules={name: ""}, config=run_at("a:b"))
        assert (response.status_code, repr(name) in detail(response)) == (422, True), name


def test_modules_are_laid_over_the_sources(debugger: httpx.Client, sources: Path) -> None:
    """Modules in the request replace those in the sources or join their package; no file is changed or created."""
    package, module = {"ocr": "NAME = 'sent'"}, {"ocr.helper": "VALUE = 'sent too'"}
    new = {"ocr.extra": "from .helper import VALUE\ndef run(params): return VALUE"}
    cases: list[tuple[dict[str, str], str, Any]] = [
        (module, "ocr.main:run", ["sources", "sent too", {}]),
        (package, "ocr.main:run", ["sent", "from the sources", {}]),
        (package | module, "ocr.main:run", ["sent", "sent too", {}]),
        (new, "ocr.extra:run", "from the sources"),
    ]
    for modules, entrypoint, result in cases:
        answer = debug(debugger, plugin_path=str(sources), config=run_at(entrypoint), modules=modules)
        assert result_of(answer) == result, modules
    assert {name: (sources / name).read_text() for name in SOURCES} == SOURCES
    assert not (sources / "ocr" / "__pycache__").exists()
    assert debugger.get("/plugin_releases/").json()["count"] == 0
    # Alone they need no folder, and no packages between them.
    main = "from deep.er import tools\nfrom .. import other\ndef run(params): return [tools.A, other.B, __name__]"
    modules = {"deep.er.main": main, "deep.er.tools": "A = 1", "deep.other": "B = 2"}
    assert result_of(debug(debugger, config=run_at("deep.er.main:run"), modules=modules)) == [1, 2, "deep.er.main"]
