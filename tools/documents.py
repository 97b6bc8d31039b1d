"""Build the documentation site: collect the pages, generate those made from sources, and render all with zensical.

The build is strict: dead links and anchors, and pages missing from the navigation, are errors.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tools.contract_page import Contract
from tools.reference import Reference

ROOT = Path(__file__).parent.parent
DOCUMENTS = ROOT / "docs"
CONFIG = DOCUMENTS / "zensical.toml"
COLOURS = re.compile(r"\x1b\[[\d;]*m")


class DocumentsError(Exception):
    """The documentation cannot be built; the message says how to fix it."""


def build(folder: Path) -> Path:
    """Build the documentation site.

    Args:
        folder: Folder to build in. Its contents are removed.

    Returns:
        Folder of the site.

    Raises:
        DocumentsError: If a page is not in the navigation, or zensical reports an error.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(DOCUMENTS, pages, ignore=shutil.ignore_patterns(CONFIG.name))
    for name, text in made().items():
        path = pages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if missing := not_in_navigation(pages):
        msg = f"Add {', '.join(sorted(missing))} to the navigation in {CONFIG.relative_to(ROOT)}."
        raise DocumentsError(msg)
    config = shutil.copy(CONFIG, folder)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", config]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if ended.returncode:
        said = f"{ended.stdout}\n{ended.stderr}".partition("Traceback (most recent call last)")[0]
        msg = f"zensical could not build the site:\n{COLOURS.sub('', said).strip()}"
        raise DocumentsError(msg)
    return folder / "site"


def made() -> dict[str, str]:
    """Return the generated pages by path."""
    contract = Contract()
    return {
        **Reference(contract.operations()).pages(),
        "contract.md": contract.page(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "decisions/index.md": decisions(),
    }


def decisions() -> str:
    """Return the list of decisions."""
    found = sorted((DOCUMENTS / "decisions").glob("[0-9]*.md"))
    titles = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in found]
    lines = [f"- [{title}]({path.name})" for title, path in zip(titles, found, strict=True)]
    return "# Decisions\n\nDesign decisions and their reasons.\n\n" + "\n".join(lines) + "\n"


def not_in_navigation(pages: Path) -> set[str]:
    """Return the pages missing from the navigation, except decisions, which their list links."""
    config = tomllib.loads(CONFIG.read_text(encoding="utf-8"))
    found = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    return {page for page in found - set(_leaves(config["project"]["nav"])) if not re.match(r"decisions/\d", page)}


def _leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [leaf for part in (nav.values() if isinstance(nav, dict) else nav) for leaf in _leaves(part)]


def main() -> None:
    """Run as a program."""
    try:
        site = build(ROOT / "build" / "docs")
    except (DocumentsError, LookupError) as error:
        sys.exit(str(error))
    place = site.relative_to(ROOT)
    print(f"Wrote {place}. Open {place}/index.html, or run this to enable the search:")
    print(f"    python3 -m http.server --bind 127.0.0.1 --directory {place}")


if __name__ == "__main__":
    main()
