"""The tables in docs/command-line.md match the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synapse_agent_sdk.cli import failures, profiles
from synapse_agent_sdk.cli.app import app

pytestmark = pytest.mark.heavy

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_the_page_tells_of_codes_settings_and_commands() -> None:
    """The page lists exactly the exit codes, and all variables, profile keys and commands except `serve`."""
    codes = {value for name, value in vars(failures).items() if name.isupper() and type(value) is int}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert documented == {0, *codes} - {failures.LINE_CHARACTERS}
    table = PAGE.partition("| flag | variable | in a profile |")[2].partition("\n\n")[0]
    assert [name for name in (*profiles.VARIABLES.values(), *profiles.KEYS) if f"`{name}`" not in table] == []
    names = {command.name for command in app.registered_commands if command.name is not None}
    assert names > {"list", "doctor"}
    assert [name for name in names if not re.search(rf"`(synapse-agent )?{name}\b|synapse-agent {name}\b", PAGE)] == []
