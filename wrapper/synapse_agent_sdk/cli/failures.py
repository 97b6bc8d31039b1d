"""What a command ends with when it fails: one line, what to do about it, and an exit code."""

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
DOCTOR = " `synapse-agent doctor` finds out more."
ADVICE: Sequence[tuple[type[exceptions.ClientError], str, str]] = (
    (
        exceptions.ActionFailedError,
        "FileNotFoundError",
        'Actions run in folders of their own, on the agent\'s machine: give absolute paths ("$PWD/file").',
    ),
    (exceptions.ActionFailedError, "", "With --debug, the action's traceback."),
    (exceptions.ResponseTooLargeError, "", ""),
    (exceptions.InvalidResponseError, "", f"Is {{url}} the URL of an agent?{DOCTOR}"),
    (exceptions.HTTPError, r"HTML|^Not Found \(404\)", f"Is {{url}} the URL of an agent?{DOCTOR}"),
    (
        exceptions.ClientResponseIncompleteError,
        "",
        "It may have been carried out all the same: look before you do it again.",
    ),
    (exceptions.ClientTimeoutError, "", f"Is {{url}} right? `--timeout SECONDS` waits longer.{DOCTOR}"),
    (exceptions.ClientConnectionError, "CERTIFICATE", f"SSL_CERT_FILE=FILE names the authorities to trust.{DOCTOR}"),
    (
        exceptions.ClientConnectionError,
        "",
        f"Is {{url}} right, and its agent up? `synapse-agent serve` starts one.{DOCTOR}",
    ),
    (
        exceptions.NotFoundError,
        "",
        "`synapse-agent list` shows what is cached, `synapse-agent create` caches more.",
    ),
    (exceptions.RateLimitError, "", "Nothing was carried out: try again later."),
    (exceptions.ServerError, r"\((502|503|504)\)$", f"Is the agent at {{url}} up?{DOCTOR}"),
)
"""What to do about an error of a kind whose message fits a pattern; the first that fits counts."""


class CliError(Exception):
    """A command that ends early: what is said on stderr, and the exit code.

    Args:
        message: What was wrong, on one line.
        hint: What to do, on one line; nothing where it is plain.
        code: The exit code.
        details: Further lines, such as an action's own traceback.
    """

    def __init__(self, message: str, hint: str = "", code: int = USAGE, details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.details = details


def code_of(error: exceptions.ClientError) -> int:
    """The exit code that an error of the client stands for."""
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
        case _:  # no answer, or none of an agent
            return UNREACHABLE


def explain(error: exceptions.ClientError, url: str, hint: str = "") -> CliError:
    """The failure that an error of the client is for a person.

    Args:
        error: The error.
        url: The agent's URL, without its tokens.
        hint: What to do where the token was refused.
    """
    message, details = _told(error)
    advice = hint if isinstance(error, exceptions.AuthenticationError) else _advice(error, message, url)
    return CliError(message, advice, code_of(error), details)


def _told(error: exceptions.ClientError) -> tuple[str, str]:
    """What the error says, as one line, and what else it says."""
    from synapse_agent_sdk.runtime.errors import summary

    detail = error.detail
    cause = re.sub(r"^\[Errno -?\d+\] ", "", str(detail))
    if isinstance(error, exceptions.ClientResponseIncompleteError):
        return one_line(f"The connection broke before the answer came: {cause}"), ""
    if isinstance(error, exceptions.ClientTimeoutError):
        return one_line(f"The agent did not answer in time: {cause}"), ""
    if isinstance(error, exceptions.ClientConnectionError):
        return one_line(f"The agent cannot be reached: {cause}"), ""
    if error.status_code is None:
        return one_line(str(error)), ""
    if isinstance(detail, str) and detail.lstrip().startswith("<"):
        return f"The answer was {error.status_code} with a page of HTML, which no agent sends.", ""
    text = summary(detail)
    first, _, rest = text.partition("\n")
    if not isinstance(error, exceptions.ActionFailedError):
        first, rest = text, ""
    name = "The action failed: " if error.error_type == "action_failed" else ""
    return f"{name}{one_line(first)} ({error.status_code})", rest.strip("\n")


def _advice(error: exceptions.ClientError, message: str, url: str) -> str:
    """What to do about an error: the first advice that fits."""
    for kind, pattern, advice in ADVICE:
        if isinstance(error, kind) and re.search(pattern, message):
            return advice.format(url=url)
    return ""


def one_line(text: str) -> str:
    r"""A text as one line of bounded length.

    Example:
        >>> one_line("first,\n  second")
        'first, second'
    """
    text = " ".join(text.split())
    return text if len(text) <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]}..."
