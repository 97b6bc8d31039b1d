"""The installer: makes an environment with uv, in a guarded process. Imports only the standard library."""

from __future__ import annotations

import subprocess

SHOWN_LINES = 12


def install(uv: str, python: str, folder: str, requirements: str) -> str | None:
    """Make a relocatable virtual environment, and install into it.

    Returns:
        The last lines of uv's output if it failed, else None.
    """
    commands = (
        ["venv", "--quiet", "--relocatable", "--no-project", "--python", python, folder],
        ["pip", "install", "--quiet", "--python", f"{folder}/bin/python", "--requirement", requirements],
    )
    for command in commands:
        done = subprocess.run([uv, *command], capture_output=True, text=True, check=False)  # noqa: S603 - uv itself
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
            return "\n".join(lines[-SHOWN_LINES:])
    return None
