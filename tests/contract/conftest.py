"""The contract and its examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import yaml

# Fixtures for raw-socket servers and both clients, shared with tests/wire.
from tests.wire.conftest import flavour, open_client, open_server

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["flavour", "open_client", "open_server"]

ROOT = Path(__file__).parents[2]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


# Loaded with PyYAML only, so that the tests can compare it with the agent's own loader.
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "openapi" / "agent.yaml").read_text(encoding="utf-8"))
REGISTRY = jsonschema_rs.Registry([("urn:contract", DOCUMENT)])


def resolve(part: dict[str, Any]) -> dict[str, Any]:
    """Resolve a reference, if the part is one."""
    while "$ref" in part:
        target: Any = DOCUMENT
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Return a validator for a schema in the document."""
    if "$ref" in schema:
        schema = {"$ref": "urn:contract" + schema["$ref"]}
    return jsonschema_rs.Draft202012Validator(schema, registry=REGISTRY, validate_formats=True)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the contract."""

    id: str
    method: str
    path: str
    item: dict[str, Any]
    content: dict[str, Any]

    def parameters(self) -> list[dict[str, Any]]:
        """Return its parameters, path parameters first."""
        return [resolve(part) for part in [*self.item.get("parameters", []), *self.content["parameters"]]]


def operations() -> Iterator[Operation]:
    """Yield every operation of the contract."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield Operation(item[method].get("operationId", ""), method, path, item, item[method])
