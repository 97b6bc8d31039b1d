"""The pages of docs/: every block of them runs, or is what it says it is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import trustme
from synapse_local_agent import LocalAgent

from tests.e2e.conftest import REPOSITORY
from tests.e2e.pages import Session, blocks

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = REPOSITORY / "docs"
PAGES = sorted(path.name for path in DOCUMENTS.glob("*.md") if "\n```" in path.read_text(encoding="utf-8"))
FROM_NOTHING = {"tutorial.md"}
"""Pages whose reader has nothing yet; on all others there is an agent, named in the environment."""


@pytest.mark.parametrize("page", PAGES)
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
    with LocalAgent(REPOSITORY / "examples" / "plugins", debug_roots=[tmp_path]) as agent:
        if page not in FROM_NOTHING:
            environment |= {"SYNAPSE_AGENT_URL": agent.url, "SYNAPSE_AGENT_TOKEN": agent.token}
        with Session(reader, environment) as session:
            for block in blocks((DOCUMENTS / page).read_text(encoding="utf-8")):
                try:
                    session.follow(block)
                except AssertionError as error:
                    pytest.fail(f"docs/{page}:{block.line}: {error}", pytrace=False)
