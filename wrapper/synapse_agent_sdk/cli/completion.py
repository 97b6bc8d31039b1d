"""Shell completion of profiles and cached releases.

Completion must not fail or take long: on any error there are no suggestions.
"""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace

import typer  # noqa: TC002 - typer reads the annotations of completion functions

from synapse_agent_sdk.cli import profiles
from synapse_agent_sdk.cli.profiles import Options
from synapse_agent_sdk.cli.session import Session

SECONDS = 2.0
MOST = 100


def complete_profile(incomplete: str) -> list[str]:
    """The profiles whose names start with `incomplete`."""
    with contextlib.suppress(Exception):
        return [name for name in profiles.load(profiles.config_path()).profiles if name.startswith(incomplete)]
    return []


def complete_release(context: typer.Context, incomplete: str) -> list[str]:
    """The cached releases of the configured agent whose names start with `incomplete`."""
    names: list[str] = []
    with contextlib.suppress(Exception):
        # --token-stdin is ignored: stdin belongs to the shell.
        session = Session(replace(_options(context), timeout=SECONDS))
        with session.client(retry=None) as client:
            releases = itertools.islice(client.iter_plugin_releases({"page_size": MOST}), MOST)
            names += [f"{release['plugin']}@{release['version']}" for release in releases]
    return [name for name in names if name.startswith(incomplete)]


def _options(context: typer.Context) -> Options:
    """The shared options on the command line so far, before and after the command."""
    levels = [context.params, context.parent.params if context.parent is not None else {}]
    options = [Options(url=level.get("url"), profile=level.get("profile")) for level in levels]
    token_file = next((level["token_file"] for level in levels if level.get("token_file")), None)
    return replace(options[0].over(options[1]), token_file=token_file)
