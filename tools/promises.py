"""Write docs/promises.md from the tests of the client on the wire, or check that it is what they give.

Each test promises something in its docstring, so a promise stands on the page as long as a test holds it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType, ModuleType

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "promises.md"
INTRODUCTION = """\
# What this client promises

Each line is the promise of a test in `tests/wire`, which puts a server on raw sockets in the client's way and looks at
what arrived there as well as at what the caller saw. Unless a line says otherwise it holds for `AgentClient` and
`AsyncAgentClient` alike. Runs are `run_plugin_release` and `run_debug_plugin_release`. This page is written by
`make promises`, from the sentences of the tests.

What is sent again, and when:

"""


def modules() -> Iterator[ModuleType]:
    """The modules of tests, in the order of their names."""
    sys.path.insert(0, str(ROOT))
    for path in sorted((ROOT / "tests" / "wire").glob("test_*.py")):
        yield importlib.import_module(f"tests.wire.{path.stem}")


def situation(name: str, test: FunctionType) -> str:
    """What a test puts the client through: its name, and the faults that it is run with."""
    words = name.removeprefix("test_").replace("_", " ")
    for mark in getattr(test, "pytestmark", ()):
        names, values = mark.args[:2] if mark.name == "parametrize" else ("", ())
        if names in {"fault", "content", "form"} and all(isinstance(value, str) for value in values):
            words += f" ({', '.join(values)})"
    return words


def section(module: ModuleType) -> str:
    """The promises of a module as a table."""
    lines = [f"## {sentence(module).removesuffix('.')}", "", "| situation | promise |", "| --- | --- |"]
    for name, test in vars(module).items():
        if name.startswith("test_"):
            lines.append(f"| {situation(name, test)} | {sentence(test)} |")
    return "\n".join(lines)


def sentence(documented: object) -> str:
    """The docstring of a test or a module on one line, as the cell of a table."""
    return " ".join((inspect.getdoc(documented) or "").split()).replace("|", "\\|")


def page() -> str:
    """The whole page."""
    retries = importlib.import_module("synapse_agent_sdk.runtime.retry")
    table = "\n".join(line for line in (retries.__doc__ or "").splitlines() if line.startswith("|"))
    return INTRODUCTION + table + "\n\n" + "\n\n".join(section(module) for module in modules()) + "\n"


def main(arguments: list[str]) -> None:
    """Run as a program: `promises.py` or `promises.py --check`."""
    if arguments not in ([], ["--check"]):
        sys.exit("usage: promises.py [--check]")
    if arguments:
        if page() != PAGE.read_text(encoding="utf-8"):
            sys.exit("docs/promises.md is not what the tests promise: run `make promises`.")
    else:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"Wrote {PAGE.relative_to(ROOT)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
