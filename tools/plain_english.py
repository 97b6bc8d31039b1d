"""Reject phrases that read as translated, in sources, tests and documents (`make lint`).

The check works line by line, so it misses a phrase that spans two lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SUFFIXES = {".md", ".py", ".toml", ".yaml"}
NAMES = {"Makefile"}
EXEMPT = ("generated/", "tools/plain_english.py")
ALTERNATIVES = {
    r"\banew\b": "again",
    r"\bmend(s|ed|ing)?\b": "fix or repair",
    r"\bbut for\b": "except",
    r"\b(?-i:is none)\b": "is not one, or there is none",
    r"\bof old\b": "existing, or earlier",
    r"\bwhoever\b": "users, callers or clients",
    r"\b(a text(?! file)|texts)\b": "a string, message or document",
    r"\bso many\b": "a number of, or up to",
    r"\bis of\b": "is, has or belongs to",
    r"\bwhich it is a kind of\b": "its base class",
    r"\bwhere left out\b": "by default",
    r'^\s*(?:"""|# |- |\| |description: )?(?-i:What|Where|Who) [a-z](?!.*\?)': "a noun as the subject",
}
"""Regular expressions of phrases, and what to write instead. The last one matches a sentence, not a question."""


def faults(name: str, content: str) -> Iterator[str]:
    r"""Find the lines of a file that contain such a phrase.

    Example:
        >>> list(faults("a.py", "It is sent anew.\nWhat is sent?\n"))
        ['a.py:1: It is sent anew. (write: again)']
    """
    for number, line in enumerate(content.splitlines(), 1):
        for phrase, alternative in ALTERNATIVES.items():
            if re.search(phrase, line, re.IGNORECASE):
                yield f"{name}:{number}: {line.strip()} (write: {alternative})"


def main() -> None:
    """Run as a program."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607 - git
    found: list[str] = []
    for name in listed.splitlines():
        path = ROOT / name
        if (path.suffix in SUFFIXES or path.name in NAMES) and not name.startswith(EXEMPT) and path.is_file():
            found += faults(name, path.read_text(encoding="utf-8"))
    if found:
        print(*found, sep="\n")
        sys.exit(f"{len(found)} phrases read as translated.")


if __name__ == "__main__":
    main()
