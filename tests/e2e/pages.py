"""Run the code blocks of a page, in order, in one folder.

- A block after a line with a file name, such as `` `plugins/config.yaml`: ``, is written to that file.
- Any other `python` block is a program. It runs against a local agent, and each `print` must output the comment behind
  or below it.
- A `sh` block runs in bash. Its variables and working directory carry over to the next one. `synapse-agent serve` runs
  until the end of the page, on a free port instead of 8600. Install commands are skipped.
- A `text` block directly after a `sh` block is its expected output. Other `text` blocks are ignored.
- `yaml` and `json` blocks must parse.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

BASH = shutil.which("bash") or "bash"
INSTALLS = re.compile(r"(python3 -m venv|source \.venv/bin/activate|pip (un)?install|make [a-z-]+$|git clone)")
DEFAULT_URL = "http://127.0.0.1:8600"
FENCE = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"^`([\w./-]+)`:$")


class Block(NamedTuple):
    """A fenced block: line number, language, content, and the preceding lines of the page."""

    line: int
    language: str
    text: str
    lead: str
    """The text between the previous block and this one."""

    @property
    def file(self) -> str | None:
        """Return the file name given above the block, if any."""
        match = NAME.match(self.lead.strip().rpartition("\n")[2])
        return match[1] if match else None


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    end = 0
    for match in FENCE.finditer(page):
        yield Block(page.count("\n", 0, match.start()) + 1, match[1], match[2], page[end : match.start()])
        end = match.end()


def expected_output(program: str) -> list[str | None]:
    """Return the expected output of each print, from its comment; None if it has no comment."""
    lines = program.splitlines()
    expected: list[str | None] = []
    following = [line.strip() for line in lines[1:]]
    for line, below in zip(lines, [*following, ""], strict=True):
        if line.lstrip().startswith("print("):
            _, behind, comment = line.partition("  # ")
            expected.append(comment if behind else below[2:] if below.startswith("# ") else None)
    return expected


class Session:
    """Follows a page, block by block.

    Args:
        folder: Initial working directory.
        environment: Initial environment variables.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._here = folder
        self._environment = environment
        self._url = DEFAULT_URL
        self._printed: str | None = None
        self._servers = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def follow(self, block: Block) -> None:
        """Run a block and check its output."""
        printed, self._printed = self._printed, None
        text = block.text.replace(DEFAULT_URL, self._url)
        if block.file is not None:
            path = self._here / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif block.language == "text":
            is_output = printed is not None and not block.lead.strip()
            assert not is_output or printed == text
        else:
            {"python": self._program, "sh": self._shell, "yaml": yaml.safe_load, "json": json.loads}[block.language](
                text
            )

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - commands from the documentation
            command,
            cwd=self._here,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def _program(self, text: str) -> None:
        ended = self._run(sys.executable, "-c", text)
        assert (ended.returncode, ended.stderr) == (0, "")
        printed, expected = ended.stdout.splitlines(), expected_output(text)
        assert len(printed) == len(expected), ended.stdout
        known = [(line, wanted) for line, wanted in zip(printed, expected, strict=True) if wanted is not None]
        assert [line for line, _ in known] == [wanted for _, wanted in known]

    def _shell(self, text: str) -> None:
        lines = [line for line in text.splitlines() if not INSTALLS.match(line)]
        if any("synapse-agent serve" in line for line in lines):
            self._serve("\n".join(lines))
        elif lines:
            marker = self._folder / ".environment"
            ended = self._run(BASH, "-ec", "\n".join([*lines, f"pwd > {marker}", f"env -0 >> {marker}"]))
            assert (ended.returncode, ended.stderr) == (0, "")
            self._printed = ended.stdout
            here, _, variables = marker.read_text(encoding="utf-8").partition("\n")
            self._here = Path(here)
            self._environment = dict(each.split("=", 1) for each in variables.split("\0") if each)

    def _serve(self, command: str) -> None:
        options: dict[str, Any] = {"cwd": self._here, "env": self._environment, "text": True}
        log = self._servers.enter_context((self._folder / ".serve").open("w+", encoding="utf-8"))
        server = subprocess.Popen(  # noqa: S603 - as above
            [BASH, "-c", f"exec {command.strip()} --port 0"], stdout=subprocess.PIPE, stderr=log, **options
        )
        self._servers.enter_context(server)
        self._servers.callback(server.send_signal, signal.SIGTERM)
        assert server.stdout is not None
        said = re.fullmatch(r"Agent listening on (http://127\.0\.0\.1:\d+)\n", server.stdout.readline())
        assert said is not None, Path(log.name).read_text(encoding="utf-8")
        self._url = said[1]
