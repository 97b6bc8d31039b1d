"""The options of `synapse-agent serve` that say what runs may take, and for how long what they leave is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.helpers import client_at, create, is_alive, result_of, run_source, until, url_of, write_plugin

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.agent.conftest import Serve

PROCESS = "import os\ndef run(params): return os.getpid()"
EXCESS = {
    "--run-timeout 0.3": ("import time\ndef run(params): time.sleep(60)", "action_timeout", "longer than 0.3 s"),
    "--max-memory 150": (
        "def run(params):\n data = []\n while True: data.append(b'x' * 2**22)",
        "action_crashed",
        f"limit of {150 * 2**20}",
    ),
    "--max-processes 5": (
        "import os, time\ndef run(params):\n for _ in range(9): os.fork() or time.sleep(60)\n time.sleep(60)",
        "action_crashed",
        "limit of 5",
    ),
    "--max-result 1": ("def run(params): return 'x' * 2**20", "action_result_too_large", f"limit of {2**20}"),
    "--max-log 1": ("def run(params):\n while True: print('x' * 1000)", "action_crashed", f"limit of {2**20}"),
}


@pytest.mark.parametrize("option", EXCESS)
def test_option_that_bounds_a_run(serve: Serve, option: str) -> None:
    """Each option of what a run may take holds, in the unit that its help says."""
    source, error_type, expected = EXCESS[option]
    with client_at(url_of(serve(*option.split(), SYNAPSE_AGENT_TOKEN="token")), "token") as http:
        answer = run_source(http, source).json()
    assert answer["error_type"] == error_type
    assert expected in answer["detail"]


def processes(http: httpx.Client) -> list[Any]:
    """The processes of two runs of release 1, one after the other."""
    return [result_of(http.post("/plugin_releases/1/run/", json={"action": "run"})) for _ in range(2)]


@pytest.mark.parametrize("option", ["--idle-limit 0", "--max-idle 0"])
def test_option_that_keeps_no_process(serve: Serve, registry: Path, option: str) -> None:
    """Without a time for idle processes, or without room for any, every run has a new one."""
    write_plugin(registry, "ocr", {"plugin.py": PROCESS})
    with client_at(url_of(serve(*option.split(), SYNAPSE_AGENT_TOKEN="token")), "token") as http:
        create(http, "ocr")
        first, second = processes(http)
    assert first != second
    until(lambda: not is_alive(first) and not is_alive(second))


@pytest.mark.parametrize("option", ["--keep-runs 0", "--keep-runs-size 0", "--keep-runs 1"])
def test_option_of_what_is_kept_of_runs(serve: Serve, tmp_path: Path, option: str) -> None:
    """What an earlier agent recorded goes where the option says so, and stays where it does not."""
    runs = tmp_path / "data" / "runs"

    def run(*options: str, then: Callable[[], None]) -> None:
        process = serve("--data", tmp_path / "data", *options, SYNAPSE_AGENT_TOKEN="token")
        with client_at(url_of(process), "token") as http:
            run_source(http, "def run(params): print(1)")
            then()
        process.terminate()
        process.wait()

    run(then=lambda: None)
    (first,) = runs.iterdir()
    if option == "--keep-runs 1":
        run(*option.split(), then=lambda: None)
        assert first.exists()
    else:
        run(*option.split(), then=lambda: until(lambda: not first.exists()))


@pytest.mark.parametrize(
    "option", ["--run-timeout 0", "--max-running 0", "--max-queue -1", "--max-memory 0", "--idle-limit -1"]
)
def test_option_that_makes_no_sense(serve: Serve, option: str) -> None:
    """A limit under which nothing could run ends the command with exit code 2, and names the option."""
    process = serve(*option.split())
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, "")
    assert option.split(maxsplit=1)[0] in err


def test_page_names_the_options_that_there_are(serve: Serve) -> None:
    """Every option of `serve` that bounds or keeps something is on the page about runs, and every one there exists."""
    page = (Path(__file__).parents[2] / "docs" / "running-actions.md").read_text(encoding="utf-8")
    shown, _ = serve("--help", COLUMNS="200", NO_COLOR="1", TERM="dumb").communicate(timeout=20)
    there = set(re.findall(r"--[a-z-]+", shown))
    named = set(re.findall(r"`(--[a-z-]+)`", page))
    assert named <= there
    assert {name for name in there if re.match(r"--(max|keep|idle|run)-", name)} <= named
