"""The pages of docs/: every block of them runs, or is what it says it is."""

from __future__ import annotations

import re
import runpy
import shutil
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
import trustme
from synapse_sdk import exceptions

from tests.e2e.conftest import REPOSITORY
from tests.e2e.pages import Session, blocks
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Run

DOCUMENTS = REPOSITORY / "docs"
ELSEWHERE = {
    "adding-an-operation.md": "tests/e2e/test_adding_an_operation.py",
    "mutants.md": "tools/mutate.py",
    "testing.md": "tests/testing/test_examples.py",
}
"""Pages whose blocks are no reader's commands, and what holds them."""
PAGES = sorted({path.name for path in DOCUMENTS.glob("*.md")} - ELSEWHERE.keys())
DEMO = DOCUMENTS / "pictures" / "demo.svg"
HEAVY = {"scaling.md"}
"""Pages that need Ray."""
FROM_NOTHING = {"tutorial.md"}
"""Pages whose reader has nothing yet; on all others there is an agent, named in the environment."""


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.heavy) if page in HEAVY else page for page in PAGES]
)
def test_blocks_do_what_the_page_says(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """Who follows a page, block by block, sees what it says."""
    reader = tmp_path / "reader"
    reader.mkdir()
    if page not in FROM_NOTHING:
        shutil.copytree(REPOSITORY / "examples", reader / "examples")
        for name in ("README.md", "CHANGELOG.md"):
            shutil.copy(REPOSITORY / name, reader)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(reader / "company-ca.pem"))
        authority.issue_cert("client.example.com").private_key_and_cert_chain_pem.write_to_path(
            str(reader / "client.pem")
        )
    with ThreadedAgent(REPOSITORY / "examples" / "plugins", debug_roots=[tmp_path]) as agent:
        if page not in FROM_NOTHING:
            environment |= {"SYNAPSE_AGENT_URL": agent.url, "SYNAPSE_AGENT_TOKEN": agent.token}
        with Session(reader, environment) as session:
            for block in blocks((DOCUMENTS / page).read_text(encoding="utf-8")):
                try:
                    session.follow(block)
                except AssertionError as error:
                    pytest.fail(f"docs/{page}:{block.line}: {error}", pytrace=False)


def test_error_tree_is_that_of_the_sdk() -> None:
    """The page on errors draws every error of the SDK, each under its base classes."""
    page = (DOCUMENTS / "errors.md").read_text(encoding="utf-8")
    (tree,) = (block.text for block in blocks(page) if block.language == "text")
    above: list[str] = []
    drawn = set()
    for line in tree.splitlines():
        match = re.search(r"\w+", line)
        assert match is not None
        depth = match.start() // 4
        above = [*above[:depth], match[0]]
        drawn.add((match[0], above[-2] if depth else None))
    real: set[tuple[str, str | None]] = {("ClientError", None)}
    for name in exceptions.__all__:
        real |= {(name, base.__name__) for base in getattr(exceptions, name).__bases__ if base is not Exception}
    assert drawn == real
    advised = set(re.findall(r"^- `(\w+)`: ", page, re.MULTILINE))
    assert {name for name, _ in real} - advised == {"ClientError", "HTTPError"}


@pytest.mark.parametrize(("page", "holder"), ELSEWHERE.items())
def test_other_pages_are_held_elsewhere(page: str, holder: str) -> None:
    """A page whose blocks do not run here is read by what is named for it."""
    assert (DOCUMENTS / page).is_file()
    assert page in (REPOSITORY / holder).read_text(encoding="utf-8")


def test_make_targets_exist(run: Run) -> None:
    """Every make command of a page is a target with a line in `make`."""
    texts = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS.glob("*.md"))
    named = set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)$", texts, re.MULTILINE))
    listed = {line.split()[0] for line in run("make").stdout.splitlines()}
    assert {first or second for first, second in named} - listed == set()


def test_the_recording_is_of_the_demo_as_it_stands() -> None:
    """docs/pictures/demo.svg shows each line of the demo's steps; `make pictures` makes it anew."""
    shown = "".join(ElementTree.fromstring(DEMO.read_text(encoding="utf-8")).itertext())  # noqa: S314 - our own file
    steps = runpy.run_path(str(REPOSITORY / "examples" / "demo.py"))["STEPS"]
    lines = [line.partition("  # raises ")[0] for line in steps.splitlines() if line]
    assert [line for line in lines if line not in shown] == []
