"""The contract as the agent uses it: its operations, and the validation of requests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.datastructures import Headers, QueryParams

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DOCUMENT = "urn:agent"
SHOWN_CHARACTERS = 200
SHOWN_ISSUES = 100


def load() -> dict[str, Any]:
    """Read the OpenAPI document from the wheel, or from the repository in an editable install."""
    shipped = files("synapse_local_agent") / "agent.yaml"
    source = shipped if shipped.is_file() else Path(__file__).parents[3] / "openapi" / "agent.yaml"
    document: dict[str, Any] = yaml.load(source.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - our file
    return document


# libyaml's loader is ten times faster, but not every build of PyYAML has it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query or header parameter."""

    place: str
    name: str
    is_integer: bool
    validator: jsonschema_rs.Validator


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the contract, with validators for its requests."""

    id: str
    method: str
    path: str
    needs_token: bool
    parameters: tuple[Parameter, ...]
    body: jsonschema_rs.Validator | None

    def query(self, query: QueryParams) -> tuple[dict[str, Any], dict[str, str]]:
        """Split the query into the declared parameters, converted to their types, and the others."""
        declared = {parameter.name: parameter for parameter in self.parameters if parameter.place == "query"}
        values = {name: _converted(declared[name], text) for name, text in query.items() if name in declared}
        return values, {name: text for name, text in query.items() if name not in declared}

    def issues(self, query: Mapping[str, Any], headers: Headers) -> list[dict[str, Any]]:
        """Validate the declared parameters; return the contract's validation issues."""
        found = []
        for parameter in self.parameters:
            values: Mapping[str, Any] = query if parameter.place == "query" else headers
            if parameter.name in values:
                where = [parameter.place, parameter.name]
                found += list(issues(parameter.validator, values[parameter.name], where))
        return found


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """Yield the operations of an OpenAPI document in order."""
    registry = jsonschema_rs.Registry([(DOCUMENT, document)])
    for path, item in document["paths"].items():
        for method in METHODS:
            if method not in item:
                continue
            operation = item[method]
            declared = [_resolve(document, part) for part in [*item.get("parameters", ()), *operation["parameters"]]]
            yield Operation(
                id=operation["operationId"],
                method=method.upper(),
                path=path,
                needs_token=bool(operation.get("security", document["security"])),
                parameters=tuple(
                    Parameter(
                        part["in"],
                        part["name"],
                        part["schema"].get("type") == "integer",
                        _validator(registry, part["schema"]),
                    )
                    for part in declared
                    # An exploded object stands for all other parameters; path parameters are matched by the route.
                    if part["in"] in {"query", "header"} and part["schema"].get("type") != "object"
                ),
                body=_body(document, registry, operation),
            )


def issues(validator: jsonschema_rs.Validator, value: Any, where: list[str]) -> Iterator[dict[str, Any]]:
    """Validate a value; yield the contract's validation issues."""
    for error in islice(validator.iter_errors(value), SHOWN_ISSUES):
        message = error.message
        if len(message) > SHOWN_CHARACTERS:  # it quotes the value, which may be long
            message = f"{message[:SHOWN_CHARACTERS]}..."
        yield {"loc": [*where, *error.instance_path], "msg": message, "type": error.kind.name}


def _body(
    document: dict[str, Any], registry: jsonschema_rs.Registry, operation: dict[str, Any]
) -> jsonschema_rs.Validator | None:
    if "requestBody" not in operation:
        return None
    return _validator(registry, _resolve(document, operation["requestBody"])["content"]["application/json"]["schema"])


def _validator(registry: jsonschema_rs.Registry, schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator for a schema whose references point into the document."""
    if "$ref" in schema:
        schema = {"$ref": DOCUMENT + schema["$ref"]}
    return jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)


def _resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    target: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return _resolve(document, target)


def _converted(parameter: Parameter, text: str) -> Any:
    """Convert a query string value to its declared type; return it unchanged if that fails."""
    return int(text) if parameter.is_integer and re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text
