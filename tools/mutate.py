"""Run mutation tests on the pure modules (`make mutate`).

mutmut creates and tests the mutants in a temporary copy of the packages and tests, so the working tree never changes.
Every surviving mutant needs a new test, or an entry in docs/mutants.md that says why no test can detect it. Entries
are matched by function and changed lines rather than by mutmut's numbers, so they survive unrelated edits.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "mutants.md"
PACKAGE = Path("synapse_agent_sdk")
MODULES = ("endpoints", "lookup", "legacy", "runtime/retry", "runtime/pagination")
# mutmut runs the tests that reach a mutated function, fastest first. These suffice, at about a second per mutant.
TESTS = (
    "tests/unit/test_legacy.py",
    "tests/unit/test_lookup.py",
    "tests/unit/test_endpoints.py",
    "tests/unit/test_pagination.py",
    "tests/unit/test_retry.py",
)
LEAST_KILLED = 0.97
KILLED = {"killed", "timeout"}
UNFINISHED = {"not checked", "check was interrupted by user"}


class Mutant(NamedTuple):
    """A change to a function: removed (-) and added (+) lines."""

    function: str
    """Module and name, such as `retry.delivery_of_status` or `pagination.PageCursor.step`."""
    change: str


def function_of(name: str) -> str:
    """Return the function that a mutmut name refers to.

    Example:
        >>> function_of("synapse_agent_sdk.runtime.retry.x_total_seconds__mutmut_3")
        'retry.total_seconds'
        >>> function_of("synapse_agent_sdk.runtime.pagination.xǁPageCursorǁ__init____mutmut_13")
        'pagination.PageCursor.__init__'
    """
    module, _, mangled = name.rpartition("__mutmut_")[0].rpartition(".")
    return f"{module.rpartition('.')[2]}.{mangled.removeprefix('x').strip('ǁ').replace('ǁ', '.').removeprefix('_')}"


def change_of(diff: str) -> str:
    """Return the lines that a unified diff removes and adds, without indentation."""
    lines = (line for line in diff.splitlines() if re.match(r"[-+](?!--|\+\+)", line))
    return "\n".join(f"{line[0]} {line[1:].strip()}" for line in lines)


def explained(page: str) -> dict[Mutant, str]:
    """Return the mutants listed on the page, with the reasons why they survive."""
    found = {}
    for section in page.split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        reason = re.sub(r"```diff\n.*?```", "", text, flags=re.DOTALL).strip()
        for change in re.findall(r"```diff\n(.*?)\n```", text, flags=re.DOTALL):
            found[Mutant(title.strip("` "), change)] = reason
    return found


def faults(statuses: dict[str, str], survivors: set[Mutant], reasons: dict[Mutant, str]) -> list[str]:
    """List the problems with the results.

    Args:
        statuses: Status of each mutant, by mutmut's name.
        survivors: Mutants that no test detected.
        reasons: Known survivors, with the reasons.
    """
    found = []
    unfinished = sum(status in UNFINISHED for status in statuses.values())
    if unfinished or not statuses:
        found.append(f"{unfinished} of {len(statuses)} mutants were not tested: run `make mutate` again.")
    killed = sum(status in KILLED for status in statuses.values())
    if killed < LEAST_KILLED * len(statuses):
        found.append(f"Fewer than {LEAST_KILLED:.0%} of the mutants were killed.")
    found += [
        f"No test detects this mutant, and {PAGE.relative_to(ROOT)} does not say why:\n\n"
        f"## `{mutant.function}`\n\n```diff\n{mutant.change}\n```\n"
        for mutant in sorted(survivors)
        if not reasons.get(mutant)
    ]
    return found


def prepare(folder: Path) -> None:
    """Create the copy that mutmut expects: packages in `src`, tests beside it, and settings."""
    for package in ("wrapper/synapse_agent_sdk", "generated/synapse_agent_api"):
        target = folder / "src" / Path(package).name
        shutil.copytree(ROOT / package, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", folder)
    settings = {
        "source_paths": ["src"],
        "only_mutate": [f"src/{PACKAGE / name}.py" for name in MODULES],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:xdist"],
        "pytest_add_cli_args_test_selection": TESTS,
    }
    lines = [f"{name} =\n    " + "\n    ".join(values) for name, values in settings.items()]
    (folder / "setup.cfg").write_text("[mutmut]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def mutmut(folder: Path, *arguments: str) -> str:
    """Run a mutmut command and return its output."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True).stdout  # noqa: S603 - ours


def collected(*selection: str) -> list[str]:
    """Return the tests that pytest finds for files or names.

    Raises:
        SystemExit: If one is missing; mutmut would count every mutant that this test reaches as killed.
    """
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *selection]
    ended = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)  # noqa: S603 - ours
    if ended.returncode:
        sys.exit(f"{ended.stdout[-5000:]}{ended.stderr[-5000:]}\npytest cannot find these tests by name: rename them.")
    return [line for line in ended.stdout.splitlines() if "::" in line]


def run(folder: Path) -> None:
    """Create and test all mutants, and leave no processes behind."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(os.cpu_count() or 2)]
    with (folder / "log").open("w+", encoding="utf-8") as log:
        # Only a terminal can show mutmut's progress line; elsewhere it is thousands of characters long.
        output = None if sys.stdout.isatty() else log
        process = subprocess.Popen(  # noqa: S603 - ours
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status:
            log.seek(0)
            sys.exit(f"{log.read()[-5000:]}\nmutmut ended with status {status}.")


def main() -> None:
    """Run as a program."""
    print(f"Mutating {', '.join(MODULES)}: this takes several minutes.", flush=True)
    collected(*collected(*TESTS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        prepare(folder)
        run(folder)
        listed = (line.strip().rpartition(": ") for line in mutmut(folder, "results", "--all", "true").splitlines())
        statuses = {name: status for name, _, status in listed if name}
        names = [name for name, status in statuses.items() if status not in KILLED | UNFINISHED]
        survivors = {Mutant(function_of(name), change_of(mutmut(folder, "show", name))) for name in names}
    for module in MODULES:
        ends = [status for name, status in statuses.items() if function_of(name).startswith(f"{Path(module).name}.")]
        print(f"{module:12} {sum(end in KILLED for end in ends):4} of {len(ends):4} killed")
    killed = len(statuses) - len(names)
    print(f"{'all':12} {killed:4} of {len(statuses):4} killed, {killed / max(len(statuses), 1):.1%}")
    reasons = explained(PAGE.read_text(encoding="utf-8"))
    for mutant in sorted(reasons.keys() - survivors):
        print(f"This mutant in {PAGE.relative_to(ROOT)} is gone or killed:\n{mutant.function}\n{mutant.change}")
    if found := faults(statuses, survivors, reasons):
        print(*found, sep="\n")
        sys.exit("Add a test that detects it, or the reason why no test can.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Stopped; the working tree is unchanged.")
