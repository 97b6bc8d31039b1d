"""The demo: every step is a line of Python, printed as it is run, with what came back.

Run it with `make demo`. It exits with 1 when a step does not do what it says.
"""

from __future__ import annotations

import ast
import os
import pprint
import sys
import time
from pathlib import Path

from synapse_sdk.exceptions import ClientError

REPOSITORY = Path(__file__).parent.parent
STEPS = """
# Start a local agent on a free port, with a client of it
from synapse_sdk.clients.agent import AgentClient
client = AgentClient.local(registry="examples/plugins")
client.health_check()["status"]

# Cache a release of a plugin; list what is cached
client.create_plugin_release(plugin="text_stats", version="1.0.0")["id"]
releases, total = client.list_plugin_releases(list_all=True)
[release["plugin"] for release in releases], total

# Get it by id, and by code and version
client.get_plugin_release(1)["version"]
client.get_plugin_release("text_stats@1.0.0")["actions"]

# Run its action on a real file
import os
readme = os.path.abspath("README.md")
client.run_plugin_release("text_stats@1.0.0", "analyze", {"path": readme, "top": 2})

# Run an action from a folder of sources, without a release
client.run_debug_plugin_release("analyze", {"path": readme, "top": 1}, plugin_path="examples/plugins/text_stats")

# Meet an error: the action's name is misspelt
client.run_plugin_release("text_stats@1.0.0", "analyse")  # ValidationError

# Delete the release, and stop the agent
client.delete_plugin_release("text_stats@1.0.0")
client.list_plugin_releases()["count"]
client.close()
"""


class StepError(Exception):
    """A step did not do what it says."""


def run(line: str, names: dict[str, object]) -> str | None:
    """Run a line of Python as an interactive session would, and return what it would show."""
    code, _, expected = line.partition("  # ")
    try:
        if not isinstance(ast.parse(code).body[0], ast.Expr):
            exec(code, names)  # noqa: S102 - the lines above are the program
            return None
        value = eval(code, names)  # noqa: S307 - the lines above are the program
    except ClientError as error:
        if type(error).__name__ != expected:
            raise
        return f"{type(error).__name__}: {error}"
    if expected:
        msg = f"it was to raise {expected}, and returned {value!r}"
        raise StepError(msg)
    return None if value is None else pprint.pformat(value, width=76, sort_dicts=False)


def main() -> int:
    """Run all steps, and return the exit code."""
    os.chdir(REPOSITORY)
    started = time.perf_counter()
    names: dict[str, object] = {}
    try:
        for line in STEPS.strip().splitlines():
            if line.startswith("#") or not line:
                print(f"\n{line}" if line else "", end="\n" if line else "")
                continue
            print(f">>> {line.partition('  # ')[0]}", flush=True)
            try:
                shown = run(line, names)
            except Exception as error:  # noqa: BLE001 - whatever it was, the step failed
                print(f"\nThe demo failed at this step:\n    {line}\n{type(error).__name__}: {error}", file=sys.stderr)
                return 1
            if shown is not None:
                print(shown)
    finally:
        if (client := names.get("client")) is not None:
            client.close()  # type: ignore[attr-defined]  # what the first step made; closing twice is harmless
    print(f"\nDone in {time.perf_counter() - started:.1f} s: all on a real agent, over HTTP.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
