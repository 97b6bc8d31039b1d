"""Render openapi/agent.yaml as a Markdown page that needs no JavaScript."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CONTRACT = ROOT / "openapi" / "agent.yaml"
INTRODUCTION = (
    "This page is generated from `openapi/agent.yaml` (OpenAPI {openapi}). The local agent serves the document at "
    "`/openapi.json`, and an interactive page at `/docs`."
)
METHODS = ("get", "post", "put", "patch", "delete")


class Contract:
    """Renders the contract."""

    def __init__(self, text: str | None = None) -> None:
        self._document: dict[str, Any] = yaml.safe_load(CONTRACT.read_text(encoding="utf-8") if text is None else text)

    def operations(self) -> list[str]:
        """Return the names of all operations, in order."""
        return [operation["operationId"] for _, _, operation in self._operations()]

    def page(self) -> str:
        """Return the whole page."""
        info = self._document["info"]
        schemas = self._document["components"]["schemas"]
        parts = [
            "# The contract",
            f"{info['title']} {info['version']}: the API of an agent.",
            INTRODUCTION.format(openapi=self._document["openapi"]),
            info["description"].strip(),
            "## Operations",
            *table("operation", "request", "", rows=self._overview()),
        ]
        for path, method, operation in self._operations():
            parts += self._operation(path, method, operation)
        parts += ["## Schemas { #schemas }"]
        for name, schema in schemas.items():
            parts += [f"### {name} {{ #{name} }}", *self._schema(schema)]
        return "\n\n".join(parts) + "\n"

    def _operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for path, item in self._document["paths"].items():
            for method in METHODS:
                if method in item:
                    shared = item.get("parameters", [])
                    own = item[method].get("parameters", [])
                    yield path, method.upper(), {**item[method], "parameters": [*shared, *own]}

    def _overview(self) -> list[tuple[str, ...]]:
        return [
            (f"[`{operation['operationId']}`](#{operation['operationId']})", f"`{method} {path}`", operation["summary"])
            for path, method, operation in self._operations()
        ]

    def _operation(self, path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
        name = operation["operationId"]
        yield f"### {operation['summary']} {{ #{name} }}"
        yield code("http", f"{method} {path}")
        yield operation["description"].strip()
        token = operation.get("security", self._document["security"])
        yield "Requires the agent token in `Authorization`." if token else "Requires no token."
        parameters = [self._resolved(parameter) for parameter in operation["parameters"]]
        yield from table("parameter", "in", "", rows=[self._parameter(each) for each in parameters])
        if "requestBody" in operation:
            media = operation["requestBody"]["content"]["application/json"]
            yield f"**Body**: {self._type(media['schema'])}"
            yield from self._examples(media)
        yield "**Responses**"
        yield from table("status", "body", "", rows=[self._answer(*each) for each in operation["responses"].items()])
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                for media in self._resolved(response).get("content", {}).values():
                    yield from self._examples(media, f"{status}: ")

    def _parameter(self, parameter: dict[str, Any]) -> tuple[str, ...]:
        schema = parameter["schema"]
        return f"`{parameter['name']}`", f"{parameter['in']}, {self._type(schema)}", schema.get("description", "")

    def _answer(self, status: str, response: dict[str, Any]) -> tuple[str, ...]:
        found = self._resolved(response)
        media = found.get("content", {}).get("application/json")
        headers = ", ".join(f"`{name}`" for name in found.get("headers", {}))
        text = found["description"] + (f" May include {headers}." if headers else "")
        return status, "" if media is None else self._type(media["schema"]), text

    def _examples(self, media: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for example in media.get("examples", {}).values():
            found = self._resolved(example)
            yield f"{prefix}{found.get('summary', 'Example')}"
            yield code("json", json.dumps(found["value"], indent=2))

    def _schema(self, schema: dict[str, Any]) -> Iterator[str]:
        yield schema.get("description", "").strip()
        required = schema.get("required", [])
        rows: list[tuple[str, ...]] = [
            (
                f"`{name}`" + (" (required)" if name in required else ""),
                self._type(field),
                field.get("description", ""),
            )
            for name, field in schema.get("properties", {}).items()
        ]
        yield from table("field", "type", "", rows=rows)

    def _type(self, schema: dict[str, Any]) -> str:
        """Describe a schema in a few words."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{name})"
        if "anyOf" in schema:
            return " or ".join(self._type(each) for each in schema["anyOf"])
        kind = schema.get("type", "any JSON value")
        if isinstance(kind, list):
            return " or ".join(kind)
        if kind == "array":
            return f"array of {self._type(schema.get('items', {}))}"
        further = schema.get("additionalProperties")
        if isinstance(further, dict):
            return f"object of {self._type(further)}"
        return f"{kind} ({schema['format']})" if "format" in schema else kind

    def _resolved(self, part: dict[str, Any]) -> dict[str, Any]:
        """Resolve a reference."""
        while "$ref" in part:
            found: Any = self._document
            for name in part["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            part = found
        return part


def table(*names: str, rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Return a table, or nothing if it has no rows."""
    if rows:
        lines = [
            names,
            ("---",) * len(names),
            *([" ".join(cell.split()).replace("|", "\\|") for cell in r] for r in rows),
        ]
        yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(language: str, text: str) -> str:
    """Return a code block."""
    return f"```{language}\n{text}\n```"
