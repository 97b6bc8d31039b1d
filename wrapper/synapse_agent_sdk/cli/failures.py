"""Errors of commands: a one-line message, a hint and an exit code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from synapse_agent_sdk import exceptions

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 1
USAGE = 2
NOT_FOUND = 3
REFUSED = 4
UNREACHABLE = 5
INTERRUPTED = 130
CLOSED_PIPE = 141

LINE_CHARACTERS = 400
GATEWAY = frozenset({502, 503, 504})
DOCTOR = " Run `synapse-agent doctor` for details."
ADVICE: Sequence[tuple[type[exceptions.ClientError], str, str]] = (
    (
        exceptions.ActionFailedError,
        "FileNotFoundError",
        'Actions run in separate folders on the agent\'s machine: use absolute paths ("$PWD/file").',
    ),
    (exceptions.ActionFailedError, "", "Use --debug to see the action's traceback."),
    (exceptions.ResponseTooLargeError, "", ""),
    (exceptions.InvalidResponseError, "", f"Is {{url}} the URL of an agent?{DOCTOR}"),
    (exceptions.HTTPError, r"HTML|^Not Found \(404\)", f"Is {{url}} the URL of an agent?{DOCTOR}"),
    (
        exceptions.ClientResponseIncompleteError,
        "",
        "The request may still have been processed: check before retrying.",
    ),
    (exceptions.ClientTimeoutError, "", f"Is {{url}} right? Use `--timeout SECONDS` to wait longer.{DOCTOR}"),
    (exceptions.ClientConnectionError, "CERTIFICATE", f"Set SSL_CERT_FILE to the CA certificates to trust.{DOCTOR}"),
    (
        exceptions.ClientConnectionError,
        "",
        f"Is {{url}} right, and is the agent running? `synapse-agent serve` starts one.{DOCTOR}",
    ),
    (
        exceptions.NotFoundError,
        "",
        "`synapse-agent list` shows the cached releases, `synapse-agent create` caches one.",
    ),
    (exceptions.RateLimitError, "", "The request was not processed: try again later."),
    (exceptions.ServerError, r"\((502|503|504)\)$", f"Is the agent at {{url}} running?{DOCTOR}"),
)
"""Hints by exception class and by a pattern in the message; the first match wins."""


class CliError(Exception):
    """An error that ends a command.

    Args:
        message: The problem, on one line.
        hint: What to do, on one line; empty if that is obvious.
        code: The exit code.
        details: More lines, such as an action's traceback.
    """

    def __init__(self, message: str, hint: str = "", code: int = USAGE, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.details = details


def code_of(error: exceptions.ClientError) -> int:
    """The exit code for a client error."""
    match error:
        case exceptions.ActionFailedError():
            return FAILED
        case exceptions.NotFoundError():
            return NOT_FOUND
        case exceptions.GpuUnavailableError() | exceptions.UntrustedOriginError():
            return REFUSED
        case exceptions.ServerError():
            return UNREACHABLE if error.status_code in GATEWAY else FAILED
        case exceptions.HTTPError():
            return REFUSED
        case _:  # no response, or not from an agent
            return UNREACHABLE


def explain(error: exceptions.ClientError, url: str, hint: str = "") -> CliError:
    """Convert a client error to a `CliError`.

    Args:
        error: The client error.
        url: The agent's URL, without tokens.
        hint: The hint to show if the token was rejected.
    """
    message, details = _message_and_details(error)
    advice = hint if isinstance(error, exceptions.AuthenticationError) else _advice(error, message, url)
    return CliError(message, advice, code_of(error), details)


def _message_and_details(error: exceptions.ClientError) -> tuple[str, str]:
    """The message of an error, on one line, and any further details."""
    from synapse_agent_sdk.runtime.errors import summary

    detail = error.detail
    cause = re.sub(r"^\[Errno -?\d+\] ", "", str(detail))
    if isinstance(error, exceptions.ClientTimeoutError):
        return one_line(f"The agent did not respond in time: {cause}"), ""
    if isinstance(error, exceptions.ClientResponseIncompleteError):
        return one_line(f"The connection was lost before the response arrived: {cause}"), ""
    if isinstance(error, exceptions.ClientConnectionError):
        return one_line(f"Cannot reach the agent: {cause}"), ""
    if error.status_code is None:
        return one_line(str(error)), ""
    if isinstance(detail, str) and detail.lstrip().startswith("<"):
        return f"The response ({error.status_code}) is an HTML page, which agents never send.", ""
    text = summary(detail)
    first, _, rest = text.partition("\n")
    if not isinstance(error, exceptions.ActionFailedError):
        first, rest = text, ""
    name = "The action failed: " if error.error_type == "action_failed" else ""
    return f"{name}{one_line(first)} ({error.status_code})", rest.strip("\n")


def _advice(error: exceptions.ClientError, message: str, url: str) -> str:
    """The first matching hint for an error."""
    for kind, pattern, advice in ADVICE:
        if isinstance(error, kind) and re.search(pattern, message):
            return advice.format(url=url)
    return ""


def one_line(text: str) -> str:
    r"""Collapse whitespace to fit a string on one line, and truncate it.

    Example:
        >>> one_line("first,\n  second")
        'first, second'
    """
    text = " ".join(text.split())
    return text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]}..."
