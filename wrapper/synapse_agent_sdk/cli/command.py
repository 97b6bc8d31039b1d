"""What every command of a client shares: its options, its session, and how it fails."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synapse_agent_sdk.cli import completion, output, profiles
from synapse_agent_sdk.cli.failures import CLOSED_PIPE, DOCTOR, FAILED, INTERRUPTED, Failure, one_line
from synapse_agent_sdk.cli.profiles import SECRETS, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from synapse_agent_sdk import AgentClient
    from synapse_agent_sdk.exceptions import ClientError

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

ARGUMENTS = {
    "base_url": "The agent's URL",
    "as agent_token": "by --token-file",
    "agent_token": "The agent's token",
    "user_token": "The user's token",
    "older_than": "--older-than",
    "idempotency_key": "--idempotency-key",
}
"""What arguments of the client are called here."""
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


class Session:
    """One command at work: its options, what it connects to, and where it says what.

    Args:
        options: The shared options.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.output = output.Output(as_json=options.json)
        self._stdin_used_by: str | None = None
        self._connection: profiles.Connection | None = None

    @functools.cached_property
    def config(self) -> profiles.Config:
        """The profiles."""
        return profiles.load(profiles.config_path())

    def connection(self) -> profiles.Connection:
        """Where to connect to, and with what."""
        if self._connection is None:
            connection = profiles.resolve(self.options, os.environ, self.config, self._token())
            token_file = connection.values.get("token_file")
            if token_file is not None:
                path = self.config.path.parent / Path(token_file).expanduser()
                values = {**connection.values, "token": profiles.read_secret(path)}
                sources = {**connection.sources, "token": connection.sources["token_file"]}
                connection = profiles.Connection(values, sources, connection.profile, connection.withheld)
            self._connection = connection
        return self._connection

    def _token(self) -> str | None:
        """The token that flags name."""
        if self.options.token_stdin and self.options.token_file is not None:
            raise Failure("--token-stdin and --token-file both give the token.", "Keep one of them.")
        if self.options.token_stdin:
            token = self.stdin("--token-stdin").strip()
            if not token:
                raise Failure("--token-stdin: nothing came on standard input.", "synapse-agent ... <FILE")
            return token
        return None if self.options.token_file is None else profiles.read_secret(self.options.token_file)

    def stdin(self, user: str) -> str:
        """What comes on standard input, which can be used once."""
        if self._stdin_used_by is not None:
            raise Failure(f"{self._stdin_used_by} and {user} both read standard input.", "Give one of them a file.")
        self._stdin_used_by = user
        if sys.stdin is None:
            raise Failure(f"{user}: there is no standard input.")
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise Failure(f"{user}: standard input is not text: {error}") from None

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[AgentClient]:
        """A client; its errors are failures, and so are settings and arguments that it refuses."""
        connection = self.connection()
        if connection.url is None:
            hint = f"Give --url, set SYNAPSE_AGENT_URL, or put a profile into {self.config.path}."
            raise Failure("Where is the agent? There is no URL.", hint)
        from synapse_agent_sdk import AgentClient
        from synapse_agent_sdk.exceptions import ClientError

        given = connection.values
        try:
            with AgentClient(
                given["url"],
                given.get("token"),
                user_token=given.get("user_token"),
                tenant=given.get("tenant"),
                timeout=given.get("timeout"),
                **options,
            ) as client:
                yield client
        except (TypeError, ValueError) as error:
            raise Failure(one_line(in_words(str(error)))) from error
        except ClientError as error:
            raise self.failure(error) from error

    def failure(self, error: ClientError) -> Failure:
        """The failure that an error of the client is."""
        from synapse_agent_sdk.cli.failures import explain

        return explain(error, self.connection().url or "", self._token_hint())

    def _token_hint(self) -> str:
        """What to do where the token was refused."""
        connection = self.connection()
        if "token" in connection.values:
            return f"The token came from {connection.sources['token']}.{DOCTOR}"
        if connection.withheld is not None:
            return f"The token of profile {connection.withheld} is sent to the URL of that profile alone: give another."
        return "No token was sent: set SYNAPSE_AGENT_TOKEN, or give --token-file FILE or --profile NAME."


def in_words(message: str) -> str:
    """A message of the client without the names of its arguments.

    Example:
        >>> in_words("base_url must not hold a user: give tokens as agent_token")
        "The agent's URL must not hold a user: give tokens by --token-file"
    """
    for name, words in ARGUMENTS.items():
        message = message.replace(name, words)
    return message


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
    except Failure as failure:
        report(failure, is_debug=session.options.debug, secrets=_secrets(session))
        raise typer.Exit(failure.code) from None
    except (KeyboardInterrupt, typer.Abort):
        output.say("Interrupted.")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # typer would make a failure of it
        raise typer.Exit(CLOSED_PIPE) from None
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - a fault of ours must be one line too
        kind = "" if isinstance(error, OSError) else f"synapse-agent failed, {type(error).__name__}: "
        fault = Failure(one_line(f"{kind}{error}"), "With --debug, the traceback.", FAILED)
        fault.__cause__ = error
        report(fault, is_debug=session.options.debug, secrets=_secrets(session))
        raise typer.Exit(FAILED) from None


def _secrets(session: Session) -> Sequence[str]:
    """What a traceback must not show; there are none where the settings could not be settled."""
    try:
        known = [*session.connection().secrets(), *(os.environ.get(profiles.VARIABLES[name], "") for name in SECRETS)]
    except Failure:
        return []
    return [secret for secret in known if len(secret) >= SECRET_CHARACTERS]


def report(failure: Failure, *, is_debug: bool, secrets: Sequence[str] = ()) -> None:
    """Say what was wrong, and what to do; with `is_debug`, where."""

    def masked(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "(secret)")
        return text

    if is_debug:
        import traceback

        cause = failure.__cause__ or failure
        shown = "".join(traceback.format_exception(cause))
        output.say(masked(shown).rstrip())
        if failure.details not in shown:
            output.say(f"\nThe agent says:\n{masked(failure.details)}\n")
    output.say(masked(f"Error: {failure.message}"), "31;1", wraps=True)
    if failure.hint and not (is_debug and "--debug" in failure.hint):
        output.say(masked(f"Hint: {failure.hint}"), "36", wraps=True)
