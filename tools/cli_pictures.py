"""Write docs/pictures/cli-*.svg: the command line in a real terminal, against a real local agent.

Run it with `make pictures`. Each program runs in a pseudo-terminal, and the final screen becomes the picture.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.style import Style
from rich.text import Text
from synapse_agent_sdk import AgentClient
from synapse_local_agent import LocalAgent

from tests.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyte.screens import Char

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("synapse-agent")
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 76
WAITING = """
import time
from pathlib import Path

def train(params):
    while not Path("{go}").exists():
        time.sleep(0.05)
    return {{"epochs": params["epochs"], "loss": 0.031}}
"""


def picture(name: str, commands: Sequence[tuple[str, Callable[[Terminal], None]]], environment: dict[str, str]) -> None:
    """Run commands one after the other and write the final screens as a picture.

    Args:
        name: Name of the picture.
        commands: Arguments of each command as typed, and a function that drives its terminal.
        environment: Environment variables of the commands.
    """
    shown: list[Text] = []
    for arguments, act in commands:
        command = [str(PROGRAM), *(word.strip("'") for word in re.findall(r"'[^']*'|\S+", arguments))]
        with Terminal(command, environment, columns=COLUMNS) as terminal:
            act(terminal)
            shown += [Text.assemble(("$ ", "green"), f"synapse-agent {arguments}"), *lines_of(terminal), Text()]
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - closed at exit
    for line in shown:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title="synapse-agent", unique_id=name)
    # A picture loads nothing from other machines and names none.
    svg = re.sub(r"@font-face \{.*?\}\s*|<!-- .*? -->\s*", "", svg, flags=re.DOTALL)
    (PICTURES / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
    sys.stdout.write(f"docs/pictures/{name}.svg\n")


def lines_of(terminal: Terminal) -> list[Text]:
    """Return the terminal's lines with their colors, up to the last non-empty one."""
    lines = []
    for number in range(len(terminal.text.splitlines())):
        row = terminal.screen.buffer[number]
        line = Text.assemble(*((row[column].data, style_of(row[column])) for column in range(COLUMNS)))
        line.rstrip()
        lines.append(line)
    return lines


def style_of(char: Char) -> Style:
    """Return the style of a character on the screen."""
    names = {"default": None, "brown": "yellow"}
    colour = names.get(char.fg, char.fg)
    if colour is not None and re.fullmatch(r"[0-9a-f]{6}", colour):
        colour = f"#{colour}"
    elif colour is not None:
        colour = re.sub(r"^bright", "bright_", colour).replace("bright_brown", "bright_yellow")
    return Style(color=colour, bold=char.bold or None)


def ends(terminal: Terminal) -> None:
    """Wait for the command to exit."""
    terminal.wait()


def until(shown: str) -> Callable[[Terminal], None]:
    """Return a function that waits for text to appear and leaves the command running."""

    def act(terminal: Terminal) -> None:
        terminal.until(shown)

    return act


def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Path(folder, "registry")
        go = Path(folder, "go")
        for version in ("1.0.0", "1.1.0", "2.0.0"):
            plugin = registry / f"segment-{version}"
            plugin.mkdir(parents=True)
            config = (
                f"name: Segment\ncode: segment\nversion: {version}\nactions:\n  train: {{entrypoint: 'plugin:train'}}\n"
            )
            (plugin / "config.yaml").write_text(config, encoding="utf-8")
            (plugin / "plugin.py").write_text(WAITING.format(go=go), encoding="utf-8")
        (registry / "text_stats").symlink_to(ROOT / "examples" / "plugins" / "text_stats")
        with LocalAgent(registry) as agent, AgentClient(agent.url, agent.token) as client:
            client.create_plugin_release("text_stats", "1.0.0")
            for version in ("1.0.0", "1.1.0", "2.0.0"):
                client.create_plugin_release("segment", version)
                time.sleep(0.01)
            ours = {name: value for name, value in os.environ.items() if not name.startswith(("SYNAPSE_", "XDG_"))}
            named = {"SYNAPSE_AGENT_URL": agent.url, "SYNAPSE_AGENT_TOKEN": agent.token, "HOME": folder}
            environment = {**ours, **named, "PYTHONWARNINGS": "error"}
            picture("cli-list", [("list", ends), ("get segment@2.0.0", ends)], environment)
            run = "run segment@2.0.0 train -p epochs=20"
            picture("cli-run", [(run, until("0:00:02"))], environment)
            go.touch()
            picture("cli-result", [(run, ends), ("run segment@2.0.0 trian", ends)], environment)
            picture("cli-prune", [("prune --keep 1", until("[y/N]:"))], environment)
            picture("cli-doctor", [("doctor", ends), ("doctor --url http://127.0.0.1:8601", ends)], environment)


if __name__ == "__main__":
    main()
