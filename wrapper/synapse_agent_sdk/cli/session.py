"""The session of a command: options, client and error conversion."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synapse_agent_sdk.cli import output, profiles
from synapse_agent_sdk.cli.failures import DOCTOR, CliError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse_agent_sdk import AgentClient
    from synapse_agent_sdk.cli.profiles import Options
    from synapse_agent_sdk.exceptions import ClientError

ARGUMENTS = {
    "base_url": "The agent's URL",
    "as agent_token": "with --token-file",
    "agent_token": "The agent's token",
    "user_token": "The user's token",
    "older_than": "--older-than",
    "idempotency_key": "--idempotency-key",
}
"""Client arguments and their names on the command line."""


class Session:
    """The session of a command: its options, connection and output.

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
        """The config file."""
        return profiles.load(profiles.config_path())

    def connection(self) -> profiles.Connection:
        """The connection settings."""
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
        """The token from the flags."""
        if self.options.token_stdin and self.options.token_file is not None:
            raise CliError("--token-stdin and --token-file cannot be combined.", "Pass only one of them.")
        if self.options.token_stdin:
            token = self.stdin("--token-stdin").strip()
            if not token:
                raise CliError("--token-stdin: stdin is empty.", "synapse-agent ... <FILE")
            return token
        return None if self.options.token_file is None else profiles.read_secret(self.options.token_file)

    def stdin(self, user: str) -> str:
        """Read stdin, which only one option can use."""
        if self._stdin_used_by is not None:
            raise CliError(f"{self._stdin_used_by} and {user} both read stdin.", "Use a file for one of them.")
        self._stdin_used_by = user
        if sys.stdin is None:
            raise CliError(f"{user}: stdin is closed.")
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise CliError(f"{user}: stdin is not UTF-8: {error}") from None

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[AgentClient]:
        """Open a client, and convert its errors to `CliError`."""
        connection = self.connection()
        if connection.url is None:
            hint = f"Pass --url, set SYNAPSE_AGENT_URL, or add a profile to {self.config.path}."
            raise CliError("The agent URL is not set.", hint)
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
            raise CliError(one_line(to_cli_terms(str(error)))) from error
        except ClientError as error:
            raise self.failure(error) from error

    def failure(self, error: ClientError) -> CliError:
        """Convert a client error to a `CliError`."""
        from synapse_agent_sdk.cli.failures import explain

        return explain(error, self.connection().url or "", self._token_hint())

    def _token_hint(self) -> str:
        """The hint for a rejected token."""
        connection = self.connection()
        if "token" in connection.values:
            return f"The token came from {connection.sources['token']}.{DOCTOR}"
        if connection.withheld is not None:
            return f"The token of profile {connection.withheld} is only sent to its own URL: pass another token."
        return "No token was sent: set SYNAPSE_AGENT_TOKEN, or pass --token-file FILE or --profile NAME."


def to_cli_terms(message: str) -> str:
    """Replace argument names in a client message by command-line terms.

    Example:
        >>> to_cli_terms("base_url must not hold a user: give tokens as agent_token")
        "The agent's URL must not hold a user: give tokens with --token-file"
    """
    for name, words in ARGUMENTS.items():
        message = message.replace(name, words)
    return message
