"""Generate the client from the contract, or check that generated/ is up to date.

The generator always runs in a temporary folder, so a check never changes the working tree, and generating removes files
that are no longer part of the client.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
OUTPUT = Path("generated")
PACKAGE = OUTPUT / "synapse_agent_api"
EXECUTABLE = 0o111
INPUTS = ("openapi", "generator-config.yaml")


def generate(workspace: Path) -> Path:
    """Run the generator on a copy of the contract in `workspace`, and return its output folder."""
    for name in INPUTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, workspace / name)
    (workspace / OUTPUT).mkdir()
    # The generator finds its post hooks on PATH; prefer those of this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = ["openapi-python-client", "generate", "--path", "openapi/agent.yaml", "--config", "generator-config.yaml"]
    command += ["--meta", "none", "--output-path", str(PACKAGE), "--overwrite", "--fail-on-warning"]
    run = subprocess.run(  # noqa: S603 - a fixed command
        command, cwd=workspace, env={**os.environ, "PATH": path}, text=True, capture_output=True, check=False
    )
    if run.returncode:
        sys.exit(f"The generator failed:\n{run.stdout}{run.stderr}")
    return workspace / OUTPUT


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` by relative path, without compiled Python."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def oddities(folder: Path) -> list[str]:
    """List links and executable files, which the generator never creates."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    lines = [f"symbolic link: {name}" for name, path in paths.items() if path.is_symlink()]
    modes = {name: path.stat().st_mode & EXECUTABLE for name, path in paths.items() if path.is_file()}
    if not all(modes.values()):  # all are executable on a file system without modes
        lines += [f"executable: {name}" for name, mode in modes.items() if mode]
    return lines


def differences(fresh: dict[str, bytes], committed: dict[str, bytes]) -> list[str]:
    """List the differences between `committed` and `fresh`."""
    lines = [f"missing: {name}" for name in sorted(fresh.keys() - committed.keys())]
    lines += [f"not generated: {name}" for name in sorted(committed.keys() - fresh.keys())]
    for name in sorted(fresh.keys() & committed.keys()):
        if fresh[name] != committed[name]:
            old, new = (data.decode(errors="backslashreplace").splitlines() for data in (committed[name], fresh[name]))
            changes = list(difflib.unified_diff(old, new, f"committed/{name}", f"generated/{name}", lineterm=""))
            lines += changes or [f"line endings differ: {name}"]
    return lines


def main(arguments: list[str]) -> None:
    """Run as a program: `generate.py` or `generate.py --check`."""
    if arguments not in ([], ["--check"]):
        sys.exit("usage: generate.py [--check]")
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
        if arguments == ["--check"]:
            if lines := differences(files(fresh), files(ROOT / OUTPUT)) + oddities(ROOT / OUTPUT):
                print(*lines, sep="\n")
                sys.exit(f"{OUTPUT}/ is out of date: run `make generate`.")
            print(f"{OUTPUT}/ is up to date.")
        else:
            shutil.rmtree(ROOT / OUTPUT, ignore_errors=True)
            shutil.copytree(fresh, ROOT / OUTPUT, ignore=shutil.ignore_patterns("__pycache__"))
            print(f"Wrote {OUTPUT}/.")


if __name__ == "__main__":
    main(sys.argv[1:])
