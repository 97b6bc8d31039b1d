"""Reject phrases that read as translated, in sources, tests and documents (`make lint`).

CONTRIBUTING.md has the alternatives. The check works line by line, so it misses a phrase that spans two lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUFFIXES = {".md", ".py", ".toml", ".yaml"}
PHRASES = re.compile(
    r"\b(anew|mend(s|ed|ing)?|but for|(?-i:is none)|of old)\b"
    r"|\b(whoever|a text(?! file)|texts|so many|is of|which it is a kind of)\b"
    r"|\bwhere left out\b",
    re.IGNORECASE,
)
OPENING = re.compile(r'^\s*(?:"""|# |- |\| |description: )?(What|Where|Who) [a-z](?!.*\?)')
"""Matches a sentence with What, Where or Who as its subject, but no question."""
EXEMPT = ("generated/", "tools/plain_english.py")


def faults(name: str, text: str) -> list[str]:
    r"""Return the lines of a file that contain such a phrase.

    Example:
        >>> faults("a.py", "What fails is sent anew.\nIs it sent?\n")
        ['a.py:1: What fails is sent anew.']
    """
    return [
        f"{name}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if PHRASES.search(line) or OPENING.search(line)
    ]


def main() -> None:
    """Run as a program."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607 - git
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if path.suffix in SUFFIXES and not name.startswith(EXEMPT) and path.is_file():
            found += faults(name, path.read_text(encoding="utf-8"))
    if found:
        print(*found, sep="\n")
        sys.exit(f"{len(found)} lines read as translated: see CONTRIBUTING.md for alternatives.")


if __name__ == "__main__":
    main()
