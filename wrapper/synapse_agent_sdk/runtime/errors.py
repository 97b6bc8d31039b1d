"""Converts failed responses to errors. Pure, and shared by sync and async."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx

from synapse_agent_sdk import exceptions
from synapse_agent_sdk.redaction import MASK, redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse_agent_sdk.runtime.request import Request

SECRETS = "synapse_secrets"
"""Response extension with the secrets of its request, to redact from errors."""
ATTEMPTS = "synapse_attempts"
"""Response extension with the number of attempts."""
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that could move a terminal's cursor or forge log lines."""
MESSAGE_CHARACTERS = 2000
"""Maximum length of a detail in an error's message; the `detail` attribute has all of it."""

ERRORS: Mapping[int, type[exceptions.HTTPError]] = {
    400: exceptions.ValidationError,
    401: exceptions.AuthenticationError,
    403: exceptions.AuthorizationError,
    404: exceptions.NotFoundError,
    409: exceptions.ConflictError,
    422: exceptions.ValidationError,
    429: exceptions.RateLimitError,
}
"""Maps statuses to errors; any other 5xx is a ServerError, and the rest are HTTPErrors."""
GPU_STATUS = 503


def error_from(request: Request[Any], response: httpx.Response) -> exceptions.HTTPError:
    """The error for an unsuccessful response."""
    status = response.status_code
    body = _body(response)
    detail, error_type = body, None
    if isinstance(body, dict):
        detail = body.get("detail", body)
        error_type = body.get("error_type")
        if error_type is None and isinstance(detail, dict):
            error_type = detail.get("error_type")  # some agents put it here
    error_type = error_type if isinstance(error_type, str) else None
    kind = ERRORS.get(status, exceptions.ServerError if response.is_server_error else exceptions.HTTPError)
    if error_type is not None and error_type.startswith("action_"):
        kind = exceptions.ActionFailedError
    elif error_type == "gpu_unavailable" and status == GPU_STATUS:
        kind = exceptions.GpuUnavailableError
    note = f" [{error_type:.100}]" if error_type else ""
    message = f"{describe(request, response.url)} -> {status}{note}: {summary(detail)}"
    message = message.encode("utf-8", "backslashreplace").decode()  # lone surrogates would break print and logs
    failure = kind(status, detail, message=message, error_type=error_type)
    failure.headers = redacted_headers(response)
    return failure


def redacted_headers(response: httpx.Response) -> httpx.Headers:
    """The headers of a response, with secrets redacted."""
    secrets = response.extensions.get(SECRETS, ())
    return httpx.Headers([(name, redact(value, secrets)) for name, value in response.headers.multi_items()])


def describe(request: Request[Any], url: httpx.URL) -> str:
    """A request for messages: its method and URL, without the query, which may contain secrets."""
    return f"{request.method} {url.copy_with(query=None)!s:.500}{'?...' if url.query else ''}"


def summary(detail: Any) -> str:
    """Format a detail of any shape as a string of bounded length.

    Example:
        >>> summary([{"loc": ["body", "action"], "msg": "Field required", "type": "missing"}])
        'body.action: Field required'
    """
    if isinstance(detail, list):
        text = "; ".join(_issue(issue) for issue in detail[:100])
    elif isinstance(detail, dict) and isinstance(detail.get("message"), str):
        text = detail["message"]
    else:
        text = _text(detail)
    text = CONTROLS.sub(lambda found: repr(found[0])[1:-1], text.strip()) or "(no detail)"
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[:MESSAGE_CHARACTERS]}..."


def _issue(issue: Any) -> str:
    if not isinstance(issue, dict) or "msg" not in issue:
        return _text(issue)
    loc = issue.get("loc")
    where = ".".join(map(_text, loc)) if isinstance(loc, list | tuple) else ""
    return f"{where}: {_text(issue['msg'])}" if where else _text(issue["msg"])


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        return "(nested too deeply to show)"


def _body(response: httpx.Response) -> Any:
    """The body of an error: its JSON, or else its text."""
    try:
        return json.loads(redacted_body(response))
    except (ValueError, RecursionError):
        return _decoded(response, redacted_body(response))


def _decoded(response: httpx.Response, content: bytes) -> str:
    """Decode content with the response's charset, or as UTF-8 if that fails: `hex` and `idna` are encodings too."""
    try:
        return content.decode(response.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def redacted_body(response: httpx.Response) -> bytes:
    """The body, with secrets redacted: an error page may echo its request."""
    content = response.content
    for secret in response.extensions.get(SECRETS, ()):
        content = content.replace(secret.encode(), MASK.encode())
    return content


def attempts_of(response: httpx.Response) -> int:
    """The number of attempts that led to this response."""
    return int(response.extensions.get(ATTEMPTS, 1))


def invalid_response(request: Request[Any], response: httpx.Response, problem: str) -> exceptions.InvalidResponseError:
    """The error for a successful response with an invalid body."""
    start = _decoded(response, redacted_body(response)[: 4 * MESSAGE_CHARACTERS])[:MESSAGE_CHARACTERS]
    message = (
        f"{describe(request, response.url)} -> {response.status_code}: invalid response: {problem}: {start[:200]!r}"
    )
    failure = exceptions.InvalidResponseError(response.status_code, start, message=message)
    failure.headers, failure.attempts = redacted_headers(response), attempts_of(response)
    return failure
