"""Check the archives from `make build`: their contents, and that the wheel works in an empty environment."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
IN_WHEEL = (
    "zzz_synapse_agent_sdk.pth",
    "synapse_agent_sdk/_dropin/synapse_sdk/clients/agent/__init__.py",
    "synapse_agent_sdk/_dropin/synapse_sdk/py.typed",
    "synapse_agent_sdk/client.py",
    "synapse_agent_sdk/py.typed",
    "synapse_agent_sdk/runtime/transport/connection_pool.py",
    "synapse_agent_sdk/testing/plugin.py",
    "synapse_agent_api/py.typed",
    "synapse_agent_api/api/plugin_releases/run_plugin_release.py",
    "synapse_local_agent/agent.yaml",
    "synapse_local_agent/py.typed",
)
IN_SDIST = (
    "openapi/agent.yaml",
    "generated/synapse_agent_api/py.typed",
    "wrapper/synapse_agent_sdk/py.typed",
    "wrapper/site-packages/zzz_synapse_agent_sdk.pth",
    "agent/synapse_local_agent/synapse_worker/__main__.py",
    "LICENSE",
    "README.md",
    "pyproject.toml",
)


def faults(names: set[str], needed: tuple[str, ...]) -> list[str]:
    """List the files that are missing from an archive or must not be in it."""
    missing = [f"missing: {name}" for name in needed if name not in names]
    return missing + [f"unexpected: {name}" for name in sorted(names) if "tests" in Path(name).parts]


def wheel_names(path: Path) -> set[str]:
    """List the files in a wheel."""
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def sdist_names(path: Path) -> set[str]:
    """List the files in a source distribution, without the top-level folder."""
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def run_quickstart(wheel: Path) -> None:
    """Install a wheel into an empty environment and run the quickstart."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        requirement = f"synapse-agent-sdk[agent] @ {wheel.resolve().as_uri()}"
        for command in (
            ["-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", requirement],
            ["-m", "pip", "check"],
            ["-W", "error", "examples/quickstart.py"],
        ):
            subprocess.run([python, *command], cwd=ROOT, check=True)  # noqa: S603 - ours


def main() -> None:
    """Run as a program, after `python -m build`."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (sdist,) = (ROOT / "dist").glob("*.tar.gz")
    found = faults(wheel_names(wheel), IN_WHEEL) + faults(sdist_names(sdist), IN_SDIST)
    if found:
        print(*found, sep="\n")
        sys.exit("The archives in dist/ have the wrong contents.")
    run_quickstart(wheel)
    print(f"{wheel.name} and {sdist.name} are OK.")


if __name__ == "__main__":
    main()
