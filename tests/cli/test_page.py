"""The page on the command line: its tables are what the program does, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

from synapse_sdk.cli import failures, profiles

DOCUMENTS = Path(__file__).parents[2] / "docs"
PAGE = (DOCUMENTS / "command-line.md").read_text(encoding="utf-8")


def test_exit_codes_are_those_of_the_program() -> None:
    """The table of exit codes has each that the program ends with, and no other."""
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert told == {0, *(value for name, value in vars(failures).items() if name.isupper() and type(value) is int)} - {
        failures.LINE_CHARACTERS
    }


def test_settings_are_those_of_the_program() -> None:
    """The table of settings names each variable and each key of a profile."""
    table = PAGE.partition("| flag | variable | in a profile |")[2].partition("\n\n")[0]
    assert [name for name in (*profiles.VARIABLES.values(), *profiles.KEYS) if f"`{name}`" not in table] == []


def test_pictures_are_there_and_stand_alone() -> None:
    """Each picture is there, and takes nothing from another machine."""
    named = re.findall(r"!\[[^]]+\]\((pictures/cli-[\w-]+\.svg)\)", PAGE)
    assert sorted(named) == sorted(f"pictures/{path.name}" for path in (DOCUMENTS / "pictures").glob("cli-*.svg"))
    for name in named:
        picture = (DOCUMENTS / name).read_text(encoding="utf-8")
        assert "</svg>" in picture
        assert re.findall(r"(?:href|src)=|url\((?!#)|@import", picture) == []


def test_every_command_is_told() -> None:
    """The page tells of every command but `serve`, which has a page of its own."""
    from synapse_sdk.cli.app import app

    names = {command.name for command in app.registered_commands if command.name is not None}
    assert names > {"list", "doctor"}
    assert [name for name in names if not re.search(rf"`(synapse-agent )?{name}\b|synapse-agent {name}\b", PAGE)] == []
