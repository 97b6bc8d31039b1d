"""The agent as a web application: routes and validation from the contract, one handler per operation."""

from __future__ import annotations

import contextlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from synapse_local_agent.web import contract, docs_page
from synapse_local_agent.web.access_log import JOB, logged
from synapse_local_agent.web.host_header import LOOPBACK, is_allowed
from synapse_local_agent.web.messages import ApiError, ApiResponse, Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from jsonschema_rs import Validator
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from synapse_local_agent.web.handlers import Handlers

    Endpoint = Callable[[Request], Awaitable[Response]]

MAX_BODY_BYTES = 128 * 2**20
NO_CONTENT = 204
NOT_ALLOWED_HOST = "The Host header is not a name of this agent: start it with --allowed-host to allow more names."


def application(document: dict[str, Any], handlers: Handlers, token: str, names: Collection[str] = LOOPBACK) -> ASGIApp:
    """Build the ASGI application of an agent.

    Args:
        document: The contract.
        handlers: An object with a method for each operationId.
        token: The agent token, required by every operation except those that the contract exempts.
        names: Host names that requests may use in their `Host` header.

    Raises:
        LookupError: If the contract has an operation without a handler.
    """
    endpoints: dict[str, dict[str, Endpoint]] = {}
    for operation in contract.operations(document):
        handler = getattr(handlers, operation.id, None)
        if handler is None:
            msg = f"The agent has no handler for the operation {operation.id!r} of the contract"
            raise LookupError(msg)
        endpoints.setdefault(operation.path, {})[operation.method] = _endpoint(operation, handler, token)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await handlers.close()

    # Any: each handler takes its own exception type, which Starlette's annotation cannot express.
    on_error: dict[Any, Any] = {ApiError: _refuse, HTTPException: _unrouted, ClientDisconnect: _gone, Exception: _fail}
    routes = [_route(path, methods) for path, methods in endpoints.items()] + docs_page.routes(document)
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=on_error)
    # A redirect would turn x/../../health into /health/.
    app.router.redirect_slashes = False

    async def on_raw_path(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not is_allowed(Headers(scope=scope).get("host", ""), names):
                await _json(400, {"detail": NOT_ALLOWED_HOST})(scope, receive, send)
                return
            # Routes match before percent-decoding, so a lookup is always one segment.
            scope["path"] = scope["raw_path"].decode("ascii", "replace")
        await app(scope, receive, send)

    return logged(on_raw_path)


def _route(path: str, endpoints: dict[str, Endpoint]) -> Route:
    """One route for all methods of a path, so that a 405 lists them all."""

    async def endpoint(request: Request) -> Response:
        return await endpoints[request.method](request)

    route = Route(path, endpoint)
    route.methods = set(endpoints)  # Starlette adds HEAD to GET; the contract has no HEAD
    return route


def _endpoint(operation: contract.Operation, handler: Callable[[Call], Awaitable[ApiResponse]], token: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if operation.needs_token and not _is_token(request.headers.get("authorization", ""), token):
            raise ApiError(401, "The agent token is missing or wrong.")
        query, filters = operation.query(request.query_params)
        issues = operation.issues(query, request.headers)
        body = None
        if operation.body is not None:
            body = await _body(request)
            if isinstance(body, dict):
                request.scope[JOB] = body.get("job_id")
            issues += _issues(operation.body, body)
        if issues:
            raise ApiError(422, issues)
        lookup = unquote(request.path_params.get("lookup", ""))
        key = request.headers.get("idempotency-key")
        return _response(await handler(Call(lookup, query, filters, body, lambda: str(request.url), key)))

    return endpoint


def _is_token(given: str, token: str) -> bool:
    """Compare in constant time, so that response times reveal nothing about the token."""
    return hmac.compare_digest(given.encode(), token.encode())


async def _body(request: Request) -> Any:
    """Read and parse the JSON body."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, f"The Content-Type is {media_type or 'missing'}. Send application/json.")
    length = request.headers.get("content-length", "0")  # the server rejects a Content-Length that is not a number
    content = bytearray()
    too_large = ApiError(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
    if int(length) > MAX_BODY_BYTES:
        raise too_large
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise too_large
    try:
        text = content.decode()
        body = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:  # maybe lone surrogates: SQLite and processes reject them
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"The body is not JSON: {str(error) or 'nested too deep'}.") from None
    return body


def _refuse_constant(name: str) -> None:
    msg = f"{name} is not a JSON value"
    raise ValueError(msg)


def _issues(validator: Validator, body: Any) -> list[dict[str, Any]]:
    try:
        return list(contract.issues(validator, body, ["body"]))
    except ValueError as error:  # numbers out of range
        return [{"loc": ["body"], "msg": str(error)[:200], "type": "value"}]


def _response(response: ApiResponse) -> Response:
    if response.status == NO_CONTENT:
        return Response(status_code=NO_CONTENT)
    return _json(response.status, response.body)


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response in ASCII, so that it can be sent even if a path in the body is not valid UTF-8."""
    content = body if isinstance(body, bytes) else json.dumps(body)
    return Response(content, status, headers, "application/json")


async def _refuse(_: Request, error: ApiError) -> Response:
    return _json(error.status, error.body, error.headers)


async def _unrouted(_: Request, error: HTTPException) -> Response:
    """The response for a path or method that is not in the contract."""
    return _json(error.status_code, {"detail": error.detail}, error.headers)


async def _gone(_: Request, error: ClientDisconnect) -> Response:
    """A response that nobody reads: the client disconnected before its body arrived."""
    del error
    return Response(status_code=400)


async def _fail(_: Request, error: Exception) -> Response:
    """The response to an internal error; the server logs the traceback."""
    body = {"detail": f"The agent failed: {type(error).__name__}. Its log has the traceback."}
    return _json(500, body, {"Connection": "close"})  # the server closes it: no further run may be sent on it
