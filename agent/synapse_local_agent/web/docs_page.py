"""The API docs: the contract as JSON, and an interactive page that loads nothing from other hosts."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  // The page fills in the example key; a second run with it would get the outcome of the first.
  requestInterceptor: (request) => {
    if (request.headers["Idempotency-Key"] === EXAMPLE_KEY) {
      request.headers["Idempotency-Key"] = makeKey();
    }
    return request;
  },
});

function makeKey() {
  const digits = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0"));
  return digits.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
"""
HEADERS = {
    # Scripts come only from the agent; Swagger UI sets inline styles and has its icons in data URLs.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def routes(document: Mapping[str, Any]) -> list[Route]:
    """The routes of the document and its page. They need no token: the document is public."""
    content = json.dumps(document).encode()
    key = document["components"]["parameters"]["IdempotencyKey"]["example"]
    script = f"const EXAMPLE_KEY = {json.dumps(key)};\n{START}"
    page = PAGE.format(title=document["info"]["title"])
    folder = _assets()

    async def openapi(_: Request) -> Response:
        return Response(content, headers=HEADERS, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    async def start(_: Request) -> Response:
        return Response(script, headers=HEADERS, media_type="text/javascript")

    async def asset(request: Request) -> Response:
        return FileResponse(folder / request.scope["path"].rpartition("/")[2], headers=HEADERS)

    return [
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Route("/docs/start.js", start),
        *(Route(f"/docs/{name}", asset) for name in ASSETS),
    ]


def _assets() -> Path:
    """The folder with Swagger UI's files. Importing the package would load Flask, so it is only located."""
    spec = find_spec("flask_swagger_ui")
    if spec is None or not spec.submodule_search_locations:
        msg = "flask-swagger-ui is not installed: pip install 'synapse-agent-sdk[agent]'"
        raise ImportError(msg)
    return Path(spec.submodule_search_locations[0], "dist")
