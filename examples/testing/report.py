"""A user's program: counts the words of files with an agent."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from synapse_agent_sdk import AgentClient
from synapse_agent_sdk.exceptions import ActionFailedError, ClientResponseIncompleteError


@dataclass
class Report:
    """The result for each file."""

    words: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    """Files whose run may have completed although its response was lost."""


def report(client: AgentClient, files: Iterable[Path]) -> Report:
    """Count the words of files."""
    found = Report()
    release = client.create_plugin_release("text_stats", "1.0.0")
    for file in files:
        params = {"path": str(file.resolve()), "top": 0}
        try:
            found.words[file.name] = client.run_plugin_release(release, "analyze", params, timeout=60)["words"]
        except ActionFailedError:
            found.failed.append(file.name)
        except ClientResponseIncompleteError:
            found.unknown.append(file.name)
    return found


def main(arguments: list[str]) -> None:
    """Run as a program; environment variables name the agent."""
    with AgentClient() as client:
        found = report(client, map(Path, arguments))
    for name, words in found.words.items():
        print(name, words)
    for name in found.failed + found.unknown:
        print(name, "?")


if __name__ == "__main__":
    main(sys.argv[1:])
