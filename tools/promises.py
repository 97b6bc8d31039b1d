"""Write docs/promises.md from the docstrings of tests/wire, or check that it is up to date.

Each line of the page is the docstring of a test, so the page promises only behaviour that is tested.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "promises.md"
TESTS = ROOT / "tests" / "wire"
TITLES = {
    "requests": "Requests",
    "answers": "Responses",
    "errors": "Errors",
    "sending_again": "Retries",
    "time": "Timeouts",
    "pages": "Pagination",
    "trust": "Redirects and trust",
    "sharing": "Connections",
    "seeing": "Logging",
    "pruning": "Pruning",
    "release_context": "Release context",
}
"""The title of each test module, in the order of the page."""
INTRODUCTION = """\
# Promises

Each line is backed by a test in `tests/wire`, which runs the client against a server on a real socket. It applies to
both `AgentClient` and `AsyncAgentClient`. A *run* is a call of `run_plugin_release` or `run_debug_plugin_release`.
`make promises` writes this page.
"""
NOTES = {
    "sending_again": """\
| request | runs | other operations |
| --- | --- | --- |
| not sent (connection failed) | retried until `reconnect` expires | retried until `reconnect` expires |
| rejected (429) | retried | retried |
| outcome unknown (broken, timed out, 502, 503, 504) | only with `replay_runs` | retried |
| any other response | not retried | not retried |
"""
}
"""Text above a module's promises."""


def promises(name: str) -> list[str]:
    """Return the docstrings of a module's tests, one line each."""
    module = importlib.import_module(f"tests.wire.test_{name}")
    tests = [test for test_name, test in vars(module).items() if test_name.startswith("test_")]
    return [" ".join((inspect.getdoc(test) or "").split()) for test in tests]


def page() -> str:
    """Return the whole page.

    Raises:
        SystemExit: If a test module has no title.
    """
    sys.path.insert(0, str(ROOT))
    modules = {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")}
    if modules != TITLES.keys():
        sys.exit(f"TITLES in tools/promises.py does not match tests/wire: {sorted(modules ^ TITLES.keys())}")
    parts = [INTRODUCTION]
    for name, title in TITLES.items():
        lines = "".join(f"- {promise}\n" for promise in promises(name))
        parts += [f"## {title}\n", *([NOTES[name]] if name in NOTES else []), lines]
    return "\n".join(parts)


def main(arguments: list[str]) -> None:
    """Run as a program: `promises.py` or `promises.py --check`."""
    if arguments not in ([], ["--check"]):
        sys.exit("usage: promises.py [--check]")
    if arguments:
        if page() != PAGE.read_text(encoding="utf-8"):
            sys.exit("docs/promises.md is out of date: run `make promises`.")
    else:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"Wrote {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
