"""The release commands: list, get, create, delete."""

from __future__ import annotations

import contextlib
import itertools
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent_sdk.cli import completion, output
from synapse_agent_sdk.cli.command import Lookup, client_command
from synapse_agent_sdk.cli.failures import NOT_FOUND, CliError
from synapse_agent_sdk.cli.session import Session  # noqa: TC001 - the annotations are evaluated
from synapse_agent_sdk.cli.show import COLUMNS, actions, release_fields, release_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


PAGE_SIZE = 100
WIDE = 90
"""The minimum terminal width for the actions column of a list."""


@client_command
def list_(
    session: Session,
    plugin: Annotated[
        str | None, typer.Option("--plugin", help="Only releases of this plugin.", metavar="CODE")
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", help="Any filter that the agent supports; repeatable.", metavar="NAME=VALUE"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of releases.", metavar="NUMBER")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only CODE@VERSION, one per line.")] = False,
) -> None:
    """List the cached releases."""
    params = _filters(filter_ or [], plugin)
    if limit is not None:
        params["page_size"] = min(limit, PAGE_SIZE)
    is_table = not (quiet or session.output.is_json)
    with session.client() as client:
        found = output.Bar(is_streamed=not is_table).over(client.iter_plugin_releases(params).pages())
        with contextlib.closing(found):
            # An agent may ignore the filter, and this output may be piped into `delete`.
            releases = itertools.islice((each for each in found if plugin in {None, each["plugin"]}), limit)
            if quiet:
                for release in releases:
                    session.output.line(f"{release['plugin']}@{release['version']}")
            elif session.output.is_json:
                session.output.json_list(releases)
            else:
                rows = list(releases)
                found.close()  # removes the bar before the table is printed
                _show(session, rows)


def _filters(given: Sequence[str], plugin: str | None) -> dict[str, Any]:
    params: dict[str, Any] = {} if plugin is None else {"plugin": plugin}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CliError(f"Invalid --filter {text!r}.", "Use NAME=VALUE, such as --filter plugin=text_stats.")
        if name in params:
            raise CliError(f"--filter {name} is passed twice.", "Pass it once.")
        params[name] = value
    return params


def _show(session: Session, releases: Sequence[Any]) -> None:
    if not releases:
        output.print_err("No releases.")
        return
    if output.columns_of(sys.stdout) < WIDE:
        session.output.table(COLUMNS, [release_row(release) for release in releases])
        return
    rows = [[*release_row(release), actions(release.get("actions"))] for release in releases]
    session.output.table((*COLUMNS, "ACTIONS"), rows)


@client_command
def get(session: Session, lookup: Lookup) -> None:
    """Show a cached release."""
    with session.client() as client, output.waiting(f"Getting {lookup}"):
        release = client.get_plugin_release(lookup)
    show(session, release)


@client_command
def create(
    session: Session,
    release: Annotated[str, typer.Argument(help="Release to cache.", metavar="CODE@VERSION")],
) -> None:
    """Cache a release on the agent. It is safe to repeat."""
    code, at, version = release.rpartition("@")
    if not (at and code.strip() and version.strip()):
        raise CliError(f"{release!r} is not CODE@VERSION.", "Use a release such as text_stats@1.0.0.")
    try:
        with session.client() as client, output.waiting(f"Caching {release}"):
            cached = client.create_plugin_release(code, version)
    except CliError as failure:
        if failure.code == NOT_FOUND:
            failure.hint = "Check the code and version in the plugin's config.yaml."
        raise
    show(session, cached)


def show(session: Session, release: Any) -> None:
    """Print a release."""
    if session.output.is_json:
        session.output.json(release)
    else:
        session.output.fields(release_fields(release))


@client_command
def delete(
    session: Session,
    lookups: Annotated[
        list[str],
        typer.Argument(
            help="Release ids, or CODE@VERSION.", metavar="LOOKUP...", autocompletion=completion.complete_release
        ),
    ],
) -> None:
    """Delete releases from the agent's cache; the backend keeps them."""
    from synapse_agent_sdk import ReleaseLookup
    from synapse_agent_sdk.exceptions import HTTPError

    deleted: list[str] = []
    failures: list[CliError] = []
    with session.client() as client:
        names = list(dict.fromkeys(str(ReleaseLookup.parse(lookup)) for lookup in lookups))
        try:
            for name in names:
                try:
                    with output.waiting(f"Deleting {name}"):
                        client.delete_plugin_release(name)
                except HTTPError as error:  # continue with the other releases
                    failures.append(session.failure(error))
                else:
                    deleted.append(name)
        finally:
            _print_deleted(session, deleted)
    _raise_all(failures)


def _print_deleted(session: Session, deleted: Iterable[str]) -> None:
    if session.output.is_json:
        session.output.json({"deleted": list(deleted)})
        return
    for name in deleted:
        session.output.line(f"Deleted {name}.")


def _raise_all(failures: Sequence[CliError]) -> None:
    """Print all failures except the last one, and raise that."""
    for failure in failures[:-1]:
        output.print_err(f"Error: {failure.message}", "31;1")
    if failures:
        raise failures[-1]
