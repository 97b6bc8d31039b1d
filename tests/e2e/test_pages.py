"""The README and the pages of docs/: every code block works as shown."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.e2e.conftest import REPOSITORY
from tests.e2e.pages import Session, blocks
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = {"adding-an-operation.md", "mutants.md", "testing.md"}
"""Pages tested by test_adding_an_operation.py, tools/mutate.py and tests/testing."""
PAGES = sorted(path for path in (REPOSITORY / "docs").glob("*.md") if path.name not in ELSEWHERE)
FROM_NOTHING = {"tutorial.md"}
"""Pages that start without the repository."""
WITHOUT_AGENT = {"README.md", *FROM_NOTHING}
"""Pages that start their own agent; for the others, environment variables name a running one."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page",
    [REPOSITORY / "README.md", *(pytest.param(page, marks=pytest.mark.heavy) for page in PAGES)],
    ids=lambda page: page.name,
)
def test_blocks_do_what_the_page_says(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """Each block of the page runs, and its output matches the page."""
    reader = tmp_path / "reader"
    reader.mkdir()
    environment["HOME"] = str(tmp_path)
    if page.name not in FROM_NOTHING:
        (reader / ".venv").symlink_to(sys.prefix)
        shutil.copytree(REPOSITORY / "examples", reader / "examples")
        for name in ("README.md", "CHANGELOG.md"):
            shutil.copy(REPOSITORY / name, reader)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(reader / "company-ca.pem"))
        authority.issue_cert("client.example.com").private_key_and_cert_chain_pem.write_to_path(
            str(reader / "client.pem")
        )
    with ThreadedAgent(REPOSITORY / "examples" / "plugins", debug_roots=[tmp_path]) as agent:
        if page.name not in WITHOUT_AGENT:
            environment |= {"SYNAPSE_AGENT_URL": agent.url, "SYNAPSE_AGENT_TOKEN": agent.token}
        with Session(reader, environment) as session:
            for block in blocks(page.read_text(encoding="utf-8")):
                try:
                    session.follow(block)
                except AssertionError as error:
                    pytest.fail(f"{page.name}:{block.line}: {error}", pytrace=False)
