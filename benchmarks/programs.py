"""Cost of starting, installing and iterating, each measured in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clients import TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Sample

ROOT = Path(__file__).parent.parent
PUBLISHED = "from synapse_sdk.clients.agent import AgentClient"
CLIENT = "from synapse_agent_sdk import {0}; {0}('http://127.0.0.1:1', 'token')"
STARTS = {
    "python": "pass",
    "import httpx": "import httpx",
    "httpx.Client()": "import httpx; httpx.Client()",
    "import SDK": "from synapse_agent_sdk import AgentClient",
    "AgentClient()": CLIENT.format("AgentClient"),
    "AsyncAgentClient()": CLIENT.format("AsyncAgentClient"),
}
ITERATION = """
import pathlib, sys
from synapse_agent_sdk import AgentClient
def peak():
    # Not ru_maxrss, which includes the parent process.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])
with AgentClient(sys.argv[1], sys.argv[2], trust_env=False) as client:
    before, number = 0, 0
    for number, _ in enumerate(client.iter_plugin_releases(), 1):
        if number == 1000:
            before = peak()
    print(number, peak() - before)
"""


def started(python: str, *arguments: str) -> Sample:
    """Return a sample of a whole process, in seconds."""

    def sample() -> float:
        begun = time.perf_counter()
        subprocess.run([python, *arguments], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
        return time.perf_counter() - begun

    return sample


def starts(python: str, published: str | None = None) -> dict[str, Sample]:
    """Samples of importing and creating a first client, in an environment with only the base install."""
    samples = {name: started(python, "-c", program) for name, program in STARTS.items()}
    if published is not None:
        samples["import synapse-sdk"] = started(published, "-c", PUBLISHED)
    return samples


def help_of_the_command_line() -> dict[str, Sample]:
    """Sample `synapse-agent --help`."""
    return {"synapse-agent --help": started(str(Path(sys.executable).with_name("synapse-agent")), "--help")}


@contextmanager
def base_install() -> Iterator[str]:
    """Yield the interpreter of an environment with only the base install."""
    with tempfile.TemporaryDirectory(prefix="synapse-bench-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)  # noqa: S603 - ours
        python = f"{folder}/bin/python"
        command = [python, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", "."]
        subprocess.run(command, check=True, cwd=ROOT, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        yield python


def size_of_install(python: str) -> dict[str, float]:
    """Return the number of distributions besides pip and setuptools, and their size in megabytes."""
    program = (
        "import importlib.metadata, json\n"
        "print(json.dumps({d.name: sum(f.locate().stat().st_size for f in d.files or () if f.locate().is_file())"
        " for d in importlib.metadata.distributions()}))"
    )
    done = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)  # noqa: S603 - ours
    sizes = {name: size for name, size in json.loads(done.stdout).items() if name not in {"pip", "setuptools"}}
    return {"distributions": len(sizes), "megabytes": sum(sizes.values()) / 1e6}


def memory_of_iteration(agent: str) -> dict[str, float]:
    """Return the memory growth in MiB while iterating over all releases, after the first thousand."""
    command = [sys.executable, "-c", ITERATION, agent, TOKEN]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    number, kibibytes = map(int, done.stdout.split())
    return {"releases": number, "MiB": kibibytes / 1024}
