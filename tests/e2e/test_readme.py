"""The README: every block of it runs, or is what it says it is."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from tests.e2e.pages import expected_output

if TYPE_CHECKING:
    from tests.e2e.conftest import Run

REPOSITORY = Path(__file__).parents[2]
BASH = shutil.which("bash") or "bash"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block, with the heading that it stands under."""

    heading: str
    language: str
    text: str


def blocks(language: str) -> list[Block]:
    """The README's blocks of a language, in order."""
    found = []
    heading, fence = "", None
    text: list[str] = []
    for line in README.splitlines(keepends=True):
        if line.startswith("```"):
            if fence is not None:
                found.append(Block(heading, fence, "".join(text)))
            fence, text = (line.strip("`\n"), []) if fence is None else (None, [])
        elif fence is not None:
            text.append(line)
        elif line.startswith("#"):
            heading = line.strip("# \n")
    return [block for block in found if block.language == language]


def by_heading(block: Block) -> str:
    """A block's name in pytest's output."""
    return block.heading


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    """Every fence of the README belongs to a block in a language that a test here knows."""
    languages = ("python", "sh", "text", "yaml")
    assert sum(len(blocks(language)) for language in languages) * 2 == README.count("```")


@pytest.mark.parametrize("block", blocks("python"), ids=by_heading)
def test_python_runs_and_prints_what_it_says(block: Block, tmp_path: Path, run: Run) -> None:
    """A program of the README runs against a real agent, and prints what its comments say."""
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")
    ended = run(sys.executable, str(program))
    assert (ended.returncode, ended.stderr) == (0, "")
    printed, expected = ended.stdout.splitlines(), expected_output(block.text)
    assert len(printed) == len(expected)
    assert [line for line, known in zip(printed, expected, strict=True) if known is not None] == [
        known for known in expected if known is not None
    ]


def test_first_program_is_the_quickstart(repository: Path) -> None:
    """The README's first program is the text of examples/quickstart.py."""
    assert blocks("python")[0].text == (repository / "examples" / "quickstart.py").read_text(encoding="utf-8")


def test_make_targets_exist(repository: Path, run: Run) -> None:
    """Every make command of the README and of CONTRIBUTING.md is a target with a line in `make`."""
    texts = README + (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", texts, re.MULTILINE))
    help_ = run("make").stdout
    listed = {line.split()[0] for line in help_.splitlines()}
    assert {first or second for first, second in named} - listed == set()
    assert {"demo", "test"} <= listed
    assert [line for line in help_.splitlines() if len(line) > 60] == []


def test_every_shell_block_is_known() -> None:
    """The README's shell blocks are those that the tests here check."""
    first_lines = [block.text.splitlines()[0] for block in blocks("sh")]
    assert first_lines == [
        "make demo",  # test_make_targets_exist
        ".venv/bin/python examples/quickstart.py",  # tests/e2e/test_demo.py
        "source .venv/bin/activate",  # the test below, as is the next
        "export SYNAPSE_AGENT_URL=http://127.0.0.1:8600",
    ]


def test_serve_and_the_variables_lead_to_an_agent(
    repository: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The README's commands start an agent, and its variables lead the client there with the agent's token."""
    serve, export = (block.text for block in blocks("sh")[2:4])
    # A free port instead of 8600, and this environment instead of .venv.
    serve = serve.replace("source .venv/bin/activate\n", "exec ").rstrip() + " --port 0"
    program = (
        "from synapse_sdk.clients.agent import AgentClient\n"
        "with AgentClient() as client: print(client.list_plugin_releases()['count'])"
    )
    options: dict[str, Any] = {"cwd": repository, "env": {**environment, "HOME": str(tmp_path)}, "text": True}
    log = tmp_path / "stderr"
    with (
        log.open("w", encoding="utf-8") as stderr,
        subprocess.Popen([BASH, "-c", serve], stdout=subprocess.PIPE, stderr=stderr, **options) as server,  # noqa: S603 - the README's own
    ):
        try:
            assert server.stdout is not None
            match = re.fullmatch(r"Agent listening on http://127\.0\.0\.1:(\d+)\n", server.stdout.readline())
            assert match is not None, log.read_text(encoding="utf-8")
            client = f'{export.replace("8600", match[1])}\npython -c "{program}"'
            asked = subprocess.run([BASH, "-c", client], capture_output=True, check=False, timeout=50, **options)  # noqa: S603 - as above
            assert (asked.stdout, asked.stderr) == ("0\n", "")
        finally:
            server.send_signal(signal.SIGTERM)
    assert (tmp_path / "agent-data" / "token").stat().st_mode & 0o777 == 0o600


def test_serve_listens_where_the_readme_says(run: Run) -> None:
    """The port that the README names is the default of `synapse-agent serve`."""
    shown = run("synapse-agent", "serve", "--help", COLUMNS="200").stdout
    assert "[default: 8600" in shown
    assert "[default: 127.0.0.1]" in shown


def test_plugin_is_one_of_the_examples(repository: Path) -> None:
    """The README's config.yaml is that of an example plugin, but for its description."""
    (block,) = blocks("yaml")
    config = yaml.safe_load((repository / "examples/plugins/text_stats/config.yaml").read_text(encoding="utf-8"))
    del config["description"]
    assert yaml.safe_load(block.text) == config


def test_map_has_every_folder(repository: Path, run: Run) -> None:
    """The README's map names every folder that is kept under version control, and nothing that is not there."""
    (map_,) = (block.text for block in blocks("text") if block.heading == "The folders")
    named = {line.split()[0] for line in map_.splitlines()}
    assert [name for name in named if not (repository / name).exists()] == []
    tracked = run("git", "ls-files").stdout.split()
    folders = {name.partition("/")[0] for name in tracked if "/" in name and not name.startswith(".")}
    assert folders == {name.partition("/")[0] for name in named if "/" in name}


def test_lines_fit_a_narrow_terminal() -> None:
    """No line of the README is wider than 60 columns, nor of the quickstart, which it shows."""
    assert [line for line in README.splitlines() if len(line) > 60] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(repository: Path, name: str) -> None:
    """Each relative link of the documents at the top leads to a file or a folder."""
    text = re.sub(r"```.*?```", "", (repository / name).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\s?\(([^)#:]+)\)", text)
    assert [link for link in links if not (repository / link).exists()] == []


def test_every_page_is_named(repository: Path) -> None:
    """The README leads to each page of docs/, but for the site's first one and the list that `make mutate` reads."""
    pages = {path.name for path in (repository / "docs").glob("*.md")} - {"index.md", "mutants.md"}
    assert pages - set(re.findall(r"\(docs/([\w-]+\.md)\)", README)) == set()
