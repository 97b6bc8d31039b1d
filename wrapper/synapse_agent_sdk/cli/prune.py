"""The command that deletes old releases: prune.

What goes is chosen once. It is shown, asked about, and then deleted by id, so that nothing else can go.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from synapse_agent_sdk.cli import output
from synapse_agent_sdk.cli.command import client_command
from synapse_agent_sdk.cli.failures import INTERRUPTED, CliError
from synapse_agent_sdk.cli.session import Session  # noqa: TC001 - the annotations are evaluated
from synapse_agent_sdk.cli.show import COLUMNS, release_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synapse_agent_api.typed_dicts import PluginRelease

    from synapse_agent_sdk import AgentClient


@client_command
def prune(
    session: Session,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", help="Cached longer ago: 30d, 12h, 90min, 2w, or a date.", metavar="AGE"),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="So many of each plugin stay, the newest.", metavar="NUMBER"),
    ] = None,
    plugin: Annotated[str | None, typer.Option("--plugin", help="Only this plugin's.", metavar="CODE")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing, and show what would be.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete old releases from the agent's cache.

    A release goes where all that is given says so. It asks before it deletes.
    """
    if older_than is None and keep is None:
        raise CliError("prune would delete everything.", "Give --older-than AGE, --keep NUMBER, or both.")
    if not (dry_run or yes or _can_ask()):
        hint = "--yes deletes without asking, and --dry-run shows what would be."
        raise CliError("prune asks before it deletes, and here is no terminal to ask on.", hint)
    with session.client() as client, output.waiting("Reading the list"):
        chosen = client.prune_plugin_releases(older_than=older_than, keep=keep, plugin=plugin, dry_run=True)
    if dry_run:
        _show(session, chosen, "would be deleted")
        return
    if chosen and not yes:
        session.output.table(COLUMNS, [release_row(release) for release in chosen], stream=sys.stderr)
        if not typer.confirm(f"Delete {_counted(chosen)}?", err=True):
            output.print_err("Nothing was deleted.")
            chosen = []
    with session.client() as client:
        deleted = _delete(client, chosen)
    if session.output.is_json:
        session.output.json(deleted)
    else:
        _show(session, deleted, "deleted", is_told=not yes)


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _delete(client: AgentClient, chosen: Sequence[PluginRelease]) -> list[PluginRelease]:
    """Delete each, and return those that were still there; where it ends early, how far it came."""
    from synapse_agent_sdk.exceptions import ClientError, NotFoundError

    deleted: list[PluginRelease] = []
    try:
        with output.waiting(f"Deleting {_counted(chosen)}"):
            for release in chosen:
                try:
                    client.delete_plugin_release(release["id"])
                except NotFoundError:
                    continue  # somebody else deleted it meanwhile
                deleted.append(release)
    except ClientError:
        output.print_err(f"{len(deleted)} of {_counted(chosen)} were deleted.")
        raise
    except KeyboardInterrupt:
        raise CliError(f"Interrupted. {len(deleted)} of {_counted(chosen)} were deleted.", code=INTERRUPTED) from None
    return deleted


def _show(session: Session, releases: Sequence[PluginRelease], what: str, *, is_told: bool = False) -> None:
    if session.output.is_json:
        session.output.json(list(releases))
        return
    if releases and not is_told:
        session.output.table(COLUMNS, [release_row(release) for release in releases])
    session.output.line(f"{_counted(releases)} {what}.")


def _counted(releases: Sequence[PluginRelease]) -> str:
    return f"{len(releases)} release{'' if len(releases) == 1 else 's'}"
