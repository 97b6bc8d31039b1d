"""The prune command.

It selects releases once, shows them, asks for confirmation and deletes them by id, so nothing else can be deleted.
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
        typer.Option(
            "--older-than", help="Delete releases older than this: 30d, 12h, 90min, 2w, or a date.", metavar="AGE"
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Number of newest releases to keep per plugin.", metavar="NUMBER"),
    ] = None,
    plugin: Annotated[
        str | None, typer.Option("--plugin", help="Only releases of this plugin.", metavar="CODE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")] = False,
) -> None:
    """Delete old releases from the agent's cache.

    Deletes releases that meet all criteria, after asking for confirmation.
    """
    if older_than is None and keep is None:
        raise CliError("prune needs a criterion.", "Pass --older-than AGE, --keep NUMBER, or both.")
    if not (dry_run or yes or _can_ask()):
        hint = "Pass --yes to delete without confirmation, or --dry-run to see what would be deleted."
        raise CliError("prune cannot ask for confirmation without a terminal.", hint)
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
        _show(session, deleted, "deleted", is_listed=not yes)


def _can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _delete(client: AgentClient, chosen: Sequence[PluginRelease]) -> list[PluginRelease]:
    """Delete the releases and return those deleted; on an error, print how many were."""
    from synapse_agent_sdk.exceptions import ClientError, NotFoundError

    deleted: list[PluginRelease] = []
    try:
        with output.waiting(f"Deleting {_counted(chosen)}"):
            for release in chosen:
                try:
                    client.delete_plugin_release(release["id"])
                except NotFoundError:
                    continue  # already deleted by someone else
                deleted.append(release)
    except ClientError:
        output.print_err(f"{len(deleted)} of {_counted(chosen)} were deleted.")
        raise
    except KeyboardInterrupt:
        raise CliError(f"Interrupted. {len(deleted)} of {_counted(chosen)} were deleted.", code=INTERRUPTED) from None
    return deleted


def _show(session: Session, releases: Sequence[PluginRelease], what: str, *, is_listed: bool = False) -> None:
    if session.output.is_json:
        session.output.json(list(releases))
        return
    if releases and not is_listed:
        session.output.table(COLUMNS, [release_row(release) for release in releases])
    session.output.line(f"{_counted(releases)} {what}.")


def _counted(releases: Sequence[PluginRelease]) -> str:
    return f"{len(releases)} release{'' if len(releases) == 1 else 's'}"
