"""The demo: prints each Python step as it runs, with its result.

Run it with `make demo`. It exits with 1 if a step fails.
"""

from __future__ import annotations

import ast
import os
import pprint
import shutil
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parent.parent
WIDTH = min(76, shutil.get_terminal_size().columns)
RAISES = "  # raises "
STEPS = """\
# Start a local agent on a free port, and a client for it.
from synapse_agent_sdk import AgentClient
client = AgentClient.local("examples/plugins")
client.health_check()["status"]

# Cache a release of a plugin. List the cached releases.
release = client.create_plugin_release(
    plugin="text_stats", version="1.0.0"
)
release["id"], release["plugin"], release["version"]
client.list_plugin_releases()["count"]
releases, total = client.list_plugin_releases(
    list_all=True
)
[release["plugin"] for release in releases]

# Get the release by its id, and by code and version.
client.get_plugin_release(1)["version"]
client.get_plugin_release("text_stats@1.0.0")["actions"]

# Run its action on a real file.
from pathlib import Path
params = {"path": str(Path("README.md").resolve())}
client.run_plugin_release(
    "text_stats@1.0.0", "analyze", params
)

# Run an action from a source folder, without a release.
client.run_debug_plugin_release(
    "analyze",
    {**params, "top": 1},
    plugin_path="examples/plugins/text_stats",
)

# Cause an error: the action's name is misspelled.
client.run_plugin_release(1, "analyse")  # raises ValidationError

# Delete the release, and stop the agent.
client.delete_plugin_release("text_stats@1.0.0")
client.list_plugin_releases()["count"]
client.close()
"""


class StepError(Exception):
    """A step had an unexpected result."""


def statements(steps: str) -> Iterator[str]:
    """Yield the comments and the complete statements of a program."""
    lines = steps.splitlines()
    starts = {node.lineno - 1: node.end_lineno for node in ast.parse(steps).body}
    for number, line in enumerate(lines):
        if number in starts:
            yield "\n".join(lines[number : starts[number]])
        elif line.startswith("#"):
            yield line


def run(statement: str, names: dict[str, Any]) -> str | None:
    """Run a statement as an interactive session would, and return its output."""
    code, _, expected = statement.partition(RAISES)
    try:
        if not isinstance(ast.parse(code).body[0], ast.Expr):
            exec(code, names)  # noqa: S102 - the steps above are the program
            return None
        value = eval(code, names)  # noqa: S307 - the steps above are the program
    except Exception as error:
        if type(error).__name__ != expected:
            raise
        return textwrap.fill(f"{expected}: {error}", WIDTH, break_on_hyphens=False)
    if expected:
        raise StepError(f"expected {expected}, got {value!r}")
    return None if value is None else pprint.pformat(value, width=WIDTH, sort_dicts=False)


def main() -> int:
    """Run all steps and return the exit code."""
    os.chdir(REPOSITORY)
    started = time.perf_counter()
    names: dict[str, Any] = {}
    try:
        for statement in statements(STEPS):
            if statement.startswith("#"):
                print(f"\n{statement}")
                continue
            print(">>> " + statement.partition(RAISES)[0].replace("\n", "\n... "), flush=True)
            try:
                shown = run(statement, names)
            except Exception as error:  # noqa: BLE001 - any error fails the step
                step = textwrap.indent(statement, "    ")
                print(f"\nThis step failed:\n{step}\n{type(error).__name__}: {error}", file=sys.stderr)
                return 1
            if shown is not None:
                print(shown)
    finally:
        if "client" in names:
            names["client"].close()  # again, in case the last step was not reached
    print(f"\nDone in {time.perf_counter() - started:.1f} s: a real agent, over HTTP.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
