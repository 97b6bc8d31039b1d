"""The errors of the SDK.

```
ClientError
├── ClientConnectionError               could not reach the agent, or the connection broke
│   └── ClientResponseIncompleteError   broke after the request was sent, which may have been processed
│       └── ClientResponseTimeoutError  timed out after the request was sent (also a ClientTimeoutError)
├── ClientTimeoutError                  the agent did not respond in time
│   └── ClientResponseTimeoutError
├── InvalidResponseError                a successful response with an invalid body
│   └── ResponseTooLargeError           a response that exceeds the client's limit
├── PaginationError                     pages that loop, end too early or are invalid
├── UntrustedOriginError                a redirect or link away from the agent's origin
└── HTTPError                           the agent returned an error status
    ├── AuthenticationError             401
    ├── AuthorizationError              403
    ├── NotFoundError                   404
    ├── ConflictError                   409
    ├── ValidationError                 400, 422
    ├── RateLimitError                  429
    └── ServerError                     5xx
        ├── GpuUnavailableError         503, error_type gpu_unavailable
        └── ActionFailedError           error_type action_*: the action failed, not the agent
```

Invalid arguments raise `ValueError` or `TypeError` before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ActionFailedError",
    "AuthenticationError",
    "AuthorizationError",
    "ClientConnectionError",
    "ClientError",
    "ClientResponseIncompleteError",
    "ClientResponseTimeoutError",
    "ClientTimeoutError",
    "ConflictError",
    "GpuUnavailableError",
    "HTTPError",
    "InvalidResponseError",
    "NotFoundError",
    "PaginationError",
    "RateLimitError",
    "ResponseTooLargeError",
    "ServerError",
    "UntrustedOriginError",
    "ValidationError",
]


class ClientError(Exception):
    """Base class of all errors of a request to an agent.

    Args:
        status_code: HTTP status, or None without a response.
        detail: The response's `detail`, unchanged, or a string without a response.
        message: The error message. Defaults to the status and detail.
        error_type: The response's `error_type`, or None.

    Attributes:
        attempts: Number of attempts.
        headers: The response's headers, case-insensitive; empty without a response.
        page: Number of the page that failed, for lists.
        results: Items read before the failed page, if the whole list was requested; releases deleted so far, for
            pruning.

    Example:
        >>> error = ClientError(404, "There is no release 7.")
        >>> error.status_code, error.detail, str(error)
        (404, 'There is no release 7.', '404: There is no release 7.')
    """

    def __init__(
        self,
        status_code: int | None = None,
        detail: Any = None,
        *,
        message: str | None = None,
        error_type: str | None = None,
    ) -> None:
        if message is None:
            message = str(detail) if status_code is None else f"{status_code}: {detail}"
        super().__init__(message)
        self.status_code = status_code
        self.detail = detail
        self.error_type = error_type
        self.attempts = 1
        self.headers: Mapping[str, str] = {}
        self.page: int | None = None
        self.results: list[Any] | None = None

    @property
    def request_id(self) -> str | None:
        """The response's `X-Request-ID`, or None."""
        return self.headers.get("x-request-id")

    @property
    def status(self) -> int | None:
        """Alias of `status_code`, its name in v1."""
        return self.status_code

    @property
    def reason(self) -> Any:
        """Alias of `detail`, its name in v1."""
        return self.detail

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would pass the message to __init__ as the status code.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[ClientError], args: tuple[Any, ...], attributes: dict[str, Any]) -> ClientError:
    error = Exception.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ClientConnectionError(ClientError):
    """Could not reach the agent, or the connection broke."""


class ClientResponseIncompleteError(ClientConnectionError):
    """The connection broke after the request was sent; the agent may have processed it."""


class ClientTimeoutError(ClientError):
    """The agent did not respond in time."""


class ClientResponseTimeoutError(ClientResponseIncompleteError, ClientTimeoutError):
    """Timed out after the request was sent; the agent may have processed it."""


class InvalidResponseError(ClientError):
    """The body of a successful response does not match the contract; `detail` is its beginning."""


class ResponseTooLargeError(InvalidResponseError):
    """The response exceeds the client's `max_response_bytes`."""


class PaginationError(ClientError):
    """The pages of a list loop, do not end, end too early or are invalid."""


class UntrustedOriginError(ClientError):
    """A redirect or link leads away from the agent's origin; it was not followed, to protect the token."""


class HTTPError(ClientError):
    """The agent returned an error status."""


class AuthenticationError(HTTPError):
    """401: the agent token is missing or invalid."""


class AuthorizationError(HTTPError):
    """403: the request is not allowed."""


class NotFoundError(HTTPError):
    """404: the plugin, version, release or page does not exist."""


class ConflictError(HTTPError):
    """409: the request conflicts with the agent's current state."""


class ValidationError(HTTPError):
    """400 or 422: the request is invalid."""


class RateLimitError(HTTPError):
    """429: the agent is busy and did not process the request."""


class ServerError(HTTPError):
    """5xx: the agent, or a proxy in front of it, failed."""


class GpuUnavailableError(ServerError):
    """503: the action needs a GPU, and none is available."""


class ActionFailedError(ServerError):
    """The action failed, not the agent; `error_type` and `detail` say how."""
