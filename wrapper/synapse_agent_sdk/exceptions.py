"""Every error of the SDK.

```
ClientError
├── ClientConnectionError               the agent could not be reached, or the connection broke
│   └── ClientResponseIncompleteError   it broke after the request was sent: it may have been carried out
│       └── ClientResponseTimeoutError  the same by a timeout (a ClientTimeoutError too)
├── ClientTimeoutError                  the agent did not answer in time
│   └── ClientResponseTimeoutError
├── InvalidResponseError                a success whose body is not what the contract promises
│   └── ResponseTooLargeError           an answer larger than the client's limit
├── PaginationError                     pages that lead in a circle, end too early, or are none
├── UntrustedOriginError                an answer that leads away from the agent's origin
└── HTTPError                           the agent answered with an error
    ├── AuthenticationError             401
    ├── AuthorizationError              403
    ├── NotFoundError                   404
    ├── ConflictError                   409
    ├── ValidationError                 400, 422
    ├── RateLimitError                  429
    └── ServerError                     5xx
        ├── GpuUnavailableError         503, error_type gpu_unavailable
        └── ActionFailedError           error_type action_*: the user's code failed, not the agent
```

Arguments that are wrong in themselves raise `ValueError` or `TypeError` before anything is sent.
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
    """Base of all errors that a call to an agent can end in.

    Args:
        status_code: Status of the agent's answer, or None where there was none.
        detail: What the agent said was wrong, untouched, or a text where there was no answer.
        message: What `str()` gives. Made of status and detail where left out.
        error_type: The answer's `error_type`, where it had one.

    Attributes:
        attempts: How many attempts were made.
        headers: The answer's headers, by their names in any case; empty where there was no answer.
        page: Number of the page that failed, where a list did.
        results: What was read of the list before that page, where the whole list was asked for; what was deleted
            by then, where pruning failed.

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
        """The answer's `X-Request-ID`, where it had one."""
        return self.headers.get("x-request-id")

    @property
    def status(self) -> int | None:
        """The same as `status_code`, under its name of v1."""
        return self.status_code

    @property
    def reason(self) -> Any:
        """The same as `detail`, under its name of v1."""
        return self.detail

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call __init__ with the message as status code.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(cls: type[ClientError], args: tuple[Any, ...], attributes: dict[str, Any]) -> ClientError:
    error = Exception.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ClientConnectionError(ClientError):
    """The agent could not be reached, or the connection broke."""


class ClientResponseIncompleteError(ClientConnectionError):
    """The connection broke after the request was sent, so the agent may have carried it out."""


class ClientTimeoutError(ClientError):
    """The agent did not answer in time."""


class ClientResponseTimeoutError(ClientResponseIncompleteError, ClientTimeoutError):
    """The time was up after the request was sent, so the agent may have carried it out."""


class InvalidResponseError(ClientError):
    """The agent answered with success, but not with what the contract promises; `detail` is the body's start."""


class ResponseTooLargeError(InvalidResponseError):
    """The agent's answer is larger than the client's `max_response_bytes`; it was refused while it arrived."""


class PaginationError(ClientError):
    """The pages of a list lead in a circle, do not end, end too early, or are none."""


class UntrustedOriginError(ClientError):
    """An answer led away from the agent's origin; nothing was sent there, since the token must not get there."""


class HTTPError(ClientError):
    """The agent answered with an error."""


class AuthenticationError(HTTPError):
    """401: the agent token is missing or wrong."""


class AuthorizationError(HTTPError):
    """403: what was asked for is not allowed."""


class NotFoundError(HTTPError):
    """404: there is no such plugin, version, release or page."""


class ConflictError(HTTPError):
    """409: the call contradicts what the agent is doing."""


class ValidationError(HTTPError):
    """400 or 422: the agent found the request invalid."""


class RateLimitError(HTTPError):
    """429: the agent is busy, and the call was not carried out."""


class ServerError(HTTPError):
    """5xx: the agent, or a proxy in front of it, failed."""


class GpuUnavailableError(ServerError):
    """503: the action asks for a GPU, and none is free."""


class ActionFailedError(ServerError):
    """The action failed, not the agent: `error_type` says how, and `detail` has what is known of it."""
