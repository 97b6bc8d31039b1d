"""Where `synapse-agent` starts: a file that the published `synapse-sdk` has not, so that it does not replace it."""

from __future__ import annotations

import sys

import synapse_sdk
from synapse_sdk import _conflict


def main() -> None:
    """Run the command line, or say that the published package was installed over it."""
    if not hasattr(synapse_sdk, "warn_of_published_package"):  # another's __init__.py
        folder = _conflict.find_published_package(path for path in sys.path if path)
        where = "" if folder is None else f" in {folder}"
        sys.stderr.write(
            f"Error: synapse-sdk was installed{where} over synapse-agent-sdk, and has replaced files of it.\n"
            f"Hint: {_conflict.REPAIR}\n"
        )
        sys.exit(1)
    from synapse_sdk.cli import main as run

    run()
