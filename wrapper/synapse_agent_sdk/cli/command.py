"""Shared parts of the client commands: options, session and error handling."""

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
from synapse_agent_sdk.redaction import redact, redactable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


Url = Annotated[str | None, typer.Option("--url", help="The agent's URL.", metavar="URL")]
Lookup = Annotated[
    str,
    typer.Argument(help="Release id, or CODE@VERSION.", metavar="LOOKUP", autocompletion=completion.complete_release),
]

Profile = Annotated[
    str | None,
    typer.Option(
        "--profile", help="Profile in config.toml.", metavar="NAME", autocompletion=completion.complete_profile
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="File with the agent token, readable only by you (0600).", metavar="FILE"),
]
TokenStdin = Annotated[bool, typer.Option("--token-stdin", help="Read the agent token from stdin.")]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait for a response.", metavar="SECONDS")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, even on a terminal.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")]

SHARED: dict[str, tuple[Any, Any]] = {
    "url": (Url, None),
    "profile": (Profile, None),
    "token_file": (TokenFile, None),
    "token_stdin": (TokenStdin, False),
    "timeout": (Timeout, None),
    "json": (Json, False),
    "debug": (Debug, False),
}
"""Types and defaults of the options that can come before or after a command."""


def client_command(function: Callable[..., None]) -> Callable[..., None]:
    """Add the shared options and readable errors to a command.

    The function takes a session as its first parameter; typer sees the other parameters, then the shared options.
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

    run.__signature__ = inspect.Signature([*kept, *shared, context])  # type: ignore[attr-defined]  # what typer reads
    run.__annotations__ = {each.name: each.annotation for each in [*kept, *shared, context]}
    del run.__wrapped__
    return run


@contextlib.contextmanager
def failing(session: Session) -> Iterator[None]:
    """Print the error of a command on stderr, and exit with its exit code."""
    try:
        yield
    except CliError as failure:
        report(failure, is_debug=session.options.debug, secrets=_secrets(session))
        raise typer.Exit(failure.code) from None
    except (KeyboardInterrupt, typer.Abort):
        output.print_err("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # typer would report it as an error
        raise typer.Exit(CLOSED_PIPE) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - our own bugs must be one line too
        kind = "" if isinstance(error, OSError) else f"synapse-agent failed, {type(error).__name__}: "
        internal = CliError(one_line(f"{kind}{error}"), "Use --debug to see the traceback.", FAILED)
        internal.__cause__ = error
        report(internal, is_debug=session.options.debug, secrets=_secrets(session))
        raise typer.Exit(FAILED) from None


def _secrets(session: Session) -> Sequence[str]:
    """The secrets that a traceback must not show; empty if the settings are invalid."""
    try:
        known = [*session.connection().secrets(), *(os.environ.get(profiles.VARIABLES[name], "") for name in SECRETS)]
    except CliError:
        return []
    return redactable(known)


def report(failure: CliError, *, is_debug: bool, secrets: Sequence[str] = ()) -> None:
    """Print the error and its hint; with `is_debug`, the traceback too."""
    if is_debug:
        import traceback

        cause = failure.__cause__ or failure
        shown = "".join(traceback.format_exception(cause))
        output.print_err(redact(shown, secrets).rstrip())
        if failure.details not in shown:
            output.print_err(f"\nDetails from the agent:\n{redact(failure.details, secrets)}\n")
    output.print_err(redact(f"Error: {failure.message}", secrets), "31;1", wraps=True)
    if failure.hint and not (is_debug and "--debug" in failure.hint):
        output.print_err(redact(f"Hint: {failure.hint}", secrets), "36", wraps=True)
