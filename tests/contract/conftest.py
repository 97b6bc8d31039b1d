"""The contract's document, and the examples in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

# The fixtures that speak to servers of raw sockets in both flavours serve here too.
from tests.wire.conftest import flavour, open_client, open_server

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["flavour", "open_client", "open_server"]

ROOT = Path(__file__).parents[2]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def read_document() -> dict[str, Any]:
    """The contract, read here with PyYAML alone, so that the agent's own reading is tested against it."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "openapi" / "agent.yaml").read_text(encoding="utf-8"))
    return document


DOCUMENT = read_document()


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or what it refers to."""
    while "$ref" in part:
        target: Any = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as the document has it."""

    id: str
    method: str
    path: str
    item: dict[str, Any]
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """An example of a body, where it stands, and the schema that it is an example of."""

    where: str
    schema: dict[str, Any]
    value: Any


def operations() -> Iterator[Operation]:
    """Every operation of the contract."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(item[method].get("operationId", ""), method, path, item, item[method])


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every media type object of a request or a response, under the name of where it stands."""
    for operation in operations():
        if "requestBody" in operation.content:
            for media_type, media in resolve(operation.content["requestBody"])["content"].items():
                yield f"{operation.id} request {media_type}", media
        for status, response in operation.content["responses"].items():
            if "$ref" not in response:
                for media_type, media in response.get("content", {}).items():
                    yield f"{operation.id} {status} {media_type}", media
    for name, response in DOCUMENT["components"]["responses"].items():
        for media_type, media in response["content"].items():
            yield f"{name} {media_type}", media


def examples() -> Iterator[Example]:
    """Every example of a body."""
    for where, media in bodies():
        for name, example in media.get("examples", {}).items():
            yield Example(f"{where} {name}", media["schema"], resolve(example)["value"])
