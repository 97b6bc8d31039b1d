"""The status commands: health, doctor."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import typer

from synapse_agent_sdk.cli import output
from synapse_agent_sdk.cli.command import client_command
from synapse_agent_sdk.cli.failures import DOCTOR, FAILED, CliError
from synapse_agent_sdk.cli.session import Session  # noqa: TC001 - the annotations are evaluated
from synapse_agent_sdk.cli.show import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from synapse_agent_sdk.cli.doctor import Finding

SECONDS = 5
"""How long the doctor waits for the OpenAPI document."""


@client_command
def health(session: Session) -> None:
    """Show the agent's health. This needs no token."""
    with session.client() as client, output.waiting("Asking the agent"):
        report: Mapping[str, Any] = client.health_check()
    if session.output.is_json:
        session.output.json(report)
    else:
        session.output.fields([(name, text_of(value)) for name, value in report.items()])


@client_command
def doctor(session: Session) -> None:
    """Check the connection to an agent, and suggest fixes.

    The exit code is 0 if there are no problems, and 1 otherwise.
    """
    findings = list(_findings(session))
    is_well = all(finding.state != "wrong" for finding in findings)
    if session.output.is_json:
        session.output.json({"ok": is_well, "checks": [finding.as_json() for finding in findings]})
    else:
        _draw(session, findings)
    if not is_well:
        raise typer.Exit(FAILED)


def _findings(session: Session) -> Iterator[Finding]:
    """Run the checks in order; each depends on those before it."""
    from synapse_agent_sdk.cli import doctor as checks

    ours = checks.contract_version()
    yield checks.versions(ours)
    yield checks.packages()
    try:
        connection = session.connection()
        config = session.config
    except CliError as failure:
        yield checks.Finding("settings", checks.WRONG, failure.message, failure.hint)
        yield from _skipped("url", "proxy", "agent", "contract", "token")
        return
    yield checks.settings(config, connection)
    url = checks.url(connection, config)
    yield url
    if url.state == checks.WRONG:
        yield from _skipped("proxy", "agent", "contract", "token")
        return
    proxy = checks.proxy(str(connection.url))
    yield proxy
    if proxy.state == checks.WRONG:
        yield from _skipped("agent", "contract", "token")
        return
    yield from _asked(session, ours)


def _skipped(*names: str) -> Iterator[Finding]:
    from synapse_agent_sdk.cli import doctor as checks

    for name in names:
        yield checks.Finding(name, checks.SKIPPED, "skipped because of the problem above")


def _asked(session: Session, ours: str | None) -> Iterator[Finding]:
    """Run the checks that need the agent."""
    from synapse_agent_sdk.cli import doctor as checks

    names = ["agent", "contract", "token"]
    try:
        with session.client(retry=None) as client:
            started = time.perf_counter()
            with output.waiting("Asking the agent"):
                report = client.health_check()
            yield checks.agent(report, (time.perf_counter() - started) * 1000)
            names = ["contract", "token"]
            yield checks.contract(_document(client), ours)
            names = ["token"]
            with output.waiting("Checking the token"):
                client.list_plugin_releases({"page_size": 1})
            given = session.connection().sources.get("token")
            yield checks.Finding(
                "token", checks.OK, f"accepted (from {given})" if given else "not set, and not required"
            )
    except CliError as failure:
        yield checks.Finding(names[0], checks.WRONG, failure.message, failure.hint.removesuffix(DOCTOR))
        yield from _skipped(*names[1:])


def _document(client: Any) -> Any:
    """The agent's OpenAPI document at the conventional path, or None."""
    from synapse_agent_sdk.exceptions import ClientError

    try:
        return client.api.get_httpx_client().get("/openapi.json", timeout=SECONDS).json()
    except (ClientError, ValueError):
        return None


MARKS = {"ok": ("✓", "+", "green"), "note": ("!", "!", "yellow"), "wrong": ("✗", "x", "red"), "skipped": ("-", "-", "")}


def _draw(session: Session, findings: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        sign, plain, style = MARKS[finding.state]
        text = Text(output.safe(finding.found), style="dim" if finding.state == "skipped" else "")
        if finding.fix:
            text.append(f"\n{'→' if is_unicode else '->'} {output.safe(finding.fix)}", style="cyan")
        table.add_row(Text(sign if is_unicode else plain, style=style), finding.check, text)
    session.output.draw(table)
