"""What the shell completes beyond commands and options: profiles, and the names of cached releases.

Completion must never fail, nor wait for long: what goes wrong completes nothing.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import typer  # noqa: TC002 - typer reads the annotations of what completes

from synapse_agent_sdk.cli import profiles
from synapse_agent_sdk.cli.profiles import Options
from synapse_agent_sdk.cli.session import Session

SECONDS = 2.0
MOST = 100


def complete_profile(incomplete: str) -> list[str]:
    """The profiles whose names begin so."""
    with contextlib.suppress(Exception):
        return [name for name in profiles.load(profiles.config_path()).profiles if name.startswith(incomplete)]
    return []


def complete_release(context: typer.Context, incomplete: str) -> list[str]:
    """The cached releases whose names begin so, of the agent that the command line and the environment name."""
    names: list[str] = []
    with contextlib.suppress(Exception):
        # Without --token-stdin: standard input is the shell's.
        session = Session(replace(_options(context), timeout=SECONDS))
        with session.client(retry=None) as client:
            releases = itertools.islice(client.iter_plugin_releases({"page_size": MOST}), MOST)
            names += [f"{release['plugin']}@{release['version']}" for release in releases]
    return [name for name in names if name.startswith(incomplete)]


def _options(context: typer.Context) -> Options:
    """The shared options that are on the command line so far, behind the command and before it."""
    levels = [context.params, context.parent.params if context.parent is not None else {}]
    options = [Options(url=level.get("url"), profile=level.get("profile")) for level in levels]
    token_file = next((level["token_file"] for level in levels if level.get("token_file")), None)
    return replace(options[0].over(options[1]), token_file=token_file)
