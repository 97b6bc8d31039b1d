"""What every command of a client shares: its options, its session, and how it fails."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent_sdk.cli import completion, output, profiles
from synapse_agent_sdk.cli.failures import CLOSED_PIPE, FAILED, INTERRUPTED, CliError, one_line
from synapse_agent_sdk.cli.profiles import SECRETS, Options
from synapse_agent_sdk.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


Url = Annotated[str | None, typer.Option("--url", help="The agent's URL.", metavar="URL")]
Lookup = Annotated[
    str,
    typer.Argument(
        help="A release: its id, or CODE@VERSION.", metavar="LOOKUP", autocompletion=completion.complete_release
    ),
]

Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", help="Profile of config.toml to use.", metavar="NAME", autocompletion=completion.complete_profile
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with the agent token, for you alone (0600).", metavar="FILE"),
]
TokenStdin = Annotated[bool, typer.Option("--token-stdin", help="Read the agent token from stdin.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait for an answer.", metavar="SECONDS")]
Json = Annotated[bool, typer.Option("--json", help="JSON, on a terminal too.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

SECRET_CHARACTERS = 6
"""Shorter ones could be part of any word; the client has the same bound."""
SHARED: dict[str, tuple[Any, Any]] = {
    "url": (Url, None),
    "profile": (Profile, None),
    "token_file": (TokenFile, None),
    "token_stdin": (TokenStdin, False),
    "timeout": (Timeout, None),
    "json": (Json, False),
    "debug": (Debug, False),
}
"""The options that may stand before a command and after it: their types and defaults."""


def client_command(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options, a session in their place, and the failures that people can read.

    The function's first parameter is the session; typer sees the others, with the shared ones behind them.
    """
    own = inspect.signature(function, eval_str=True).parameters.values()
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in SHARED.items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(own)[1:]]

    @functools.wraps(function)
    def run(*, context: typer.Context, **given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in SHARED}).over(context.obj or Options())
        session = Session(options)
        with failing(session):
            function(session, **given)

    run.__signature__ = inspect.Signature([*kept, *shared, context])  # type: ignore[attr-defined] # what typer reads
    run.__annotations__ = {each.name: each.annotation for each in [*kept, *shared, context]}
    del run.__wrapped__
    return run


@contextlib.contextmanager
def failing(session: Session) -> Iterator[None]:
    """Say on stderr what a command failed with, and end it with the exit code of that."""
    try:
        yield
    except CliError as failure:
        report(failure, is_debug=session.options.debug, secrets=_secrets(session))
        raise typer.Exit(failure.code) from None
    except (KeyboardInterrupt, typer.Abort):
        output.print_err("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # typer would make a failure of it
        raise typer.Exit(CLOSED_PIPE) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of ours must be one line too
        kind = "" if isinstance(error, OSError) else f"synapse-agent failed, {type(error).__name__}: "
        fault = CliError(one_line(f"{kind}{error}"), "With --debug, the traceback.", FAILED)
        fault.__cause__ = error
        report(fault, is_debug=session.options.debug, secrets=_secrets(session))
        raise typer.Exit(FAILED) from None


def _secrets(session: Session) -> Sequence[str]:
    """What a traceback must not show; there are none where the settings could not be settled."""
    try:
        known = [*session.connection().secrets(), *(os.environ.get(profiles.VARIABLES[name], "") for name in SECRETS)]
    except CliError:
        return []
    return [secret for secret in known if len(secret) >= SECRET_CHARACTERS]


def report(failure: CliError, *, is_debug: bool, secrets: Sequence[str] = ()) -> None:
    """Say what was wrong, and what to do; with `is_debug`, where."""

    def masked(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "(secret)")
        return text

    if is_debug:
        import traceback

        cause = failure.__cause__ or failure
        shown = "".join(traceback.format_exception(cause))
        output.print_err(masked(shown).rstrip())
        if failure.details not in shown:
            output.print_err(f"\nThe agent says:\n{masked(failure.details)}\n")
    output.print_err(masked(f"Error: {failure.message}"), "31;1", wraps=True)
    if failure.hint and not (is_debug and "--debug" in failure.hint):
        output.print_err(masked(f"Hint: {failure.hint}"), "36", wraps=True)
