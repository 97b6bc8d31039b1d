"""Known facts about deployed agents, which the contract must always state.

Compatible additions pass: an operation, an optional parameter or field, a status. Changes that contradict deployed
agents or older clients fail by name.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

from tests.contract.conftest import DOCUMENT, operations, resolve

pytestmark = pytest.mark.contract

OPERATIONS = {operation.id: operation for operation in operations()}
COMMON = {"400", "429", "500", "503", "default"}
SECURED = COMMON | {"401", "403"}
POSTED = SECURED | {"404", "409", "413", "415", "422", "504"}
RESPONSES = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "409": "Conflict",
    "413": "ContentTooLarge",
    "415": "UnsupportedMediaType",
    "422": "Unprocessable",
    "429": "TooManyRequests",
    "500": "InternalError",
    "503": "Unavailable",
    "504": "GatewayTimeout",
    "default": "Unexpected",
}


class Facts(NamedTuple):
    """An operation: route, own parameters, error statuses, and schemas of its request and successful response."""

    route: str
    parameters: set[str]
    errors: set[str]
    body: str | None
    answer: str | None
    successes: set[str] = {"200"}  # noqa: RUF012 - never mutated


FACTS = {
    "list_plugin_releases": Facts(
        "GET /plugin_releases/", {"page", "page_size", "filters"}, SECURED | {"404", "422"}, None, "PluginReleasePage"
    ),
    "create_plugin_release": Facts(
        "POST /plugin_releases/", set(), POSTED, "CreatePluginReleaseRequest", "PluginRelease", {"200", "201"}
    ),
    "get_plugin_release": Facts("GET /plugin_releases/{lookup}", {"lookup"}, SECURED | {"404"}, None, "PluginRelease"),
    "delete_plugin_release": Facts(
        "DELETE /plugin_releases/{lookup}", {"lookup"}, SECURED | {"404", "409"}, None, None, {"204"}
    ),
    "run_plugin_release": Facts(
        "POST /plugin_releases/{lookup}/run/",
        {"lookup", "Idempotency-Key"},
        POSTED,
        "RunPluginReleaseRequest",
        "anything",
    ),
    "run_debug_plugin_release": Facts(
        "POST /plugin_releases/run_debug/", {"Idempotency-Key"}, POSTED, "RunDebugPluginReleaseRequest", "anything"
    ),
    "health_check": Facts("GET /health/", set(), COMMON, None, "Health"),
}
RUN_FIELDS = {
    "action*": "string",
    "params": "object",
    "requirements": "array of string",
    "job_id": "string",
    "language": "string",
}
SCHEMAS = {
    "PluginRelease": {
        "id*": "integer",
        "plugin*": "string",
        "version*": "string",
        "config": "object",
        "actions": "anything",
        "created": "string date-time",
        "size": "integer",
    },
    "PluginReleasePage": {
        "count*": "integer",
        "next*": "string or null",
        "previous*": "string or null",
        "results*": "array of PluginRelease",
    },
    "CreatePluginReleaseRequest": {"plugin*": "string not empty", "version*": "string not empty"},
    "RunPluginReleaseRequest": RUN_FIELDS,
    "RunDebugPluginReleaseRequest": {
        **RUN_FIELDS,
        "plugin_path": "string",
        "config": "object",
        "modules": "object of string",
    },
    "Health": {"status": "string", "version": "string"},
    "Error": {"detail*": "string or array of ValidationIssue or object", "error_type": "string"},
    "ValidationIssue": {"loc*": "array of string or integer", "msg*": "string", "type*": "string"},
}
"""The fields of each schema; an asterisk marks required fields."""
CLOSED = {"CreatePluginReleaseRequest"}
"""The schemas without additional fields."""
UUID = "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
PARAMETERS: dict[str, dict[str, Any]] = {
    "page": {"in": "query", "schema": {"type": "integer", "minimum": 1}},
    "page_size": {"in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    "filters": {
        "in": "query",
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": True},
    },
    "lookup": {"in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
    "Idempotency-Key": {"in": "header", "schema": {"type": "string", "pattern": UUID}},
    "SYNAPSE-User": {"in": "header", "schema": {"type": "string"}},
    "SYNAPSE-Tenant": {"in": "header", "schema": {"type": "string"}},
}
TOKENS = {"SYNAPSE-User", "SYNAPSE-Tenant"}
"""The parameters of every operation."""
# Keys that describe but do not constrain; they may change at any time.
ANNOTATIONS = {"description", "summary", "deprecated", "example", "examples", "externalDocs", "$comment"}
SHAPED = {"type", "format", "minLength", "items", "additionalProperties"}
COMBINED = {"$ref", "anyOf"}
each_fact = pytest.mark.parametrize("name", FACTS)


def shape(schema: dict[str, Any]) -> str:
    """Describe a schema in words."""
    kinds = schema.get("type", "anything")
    words = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if "$ref" in schema:
        words = str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        words = " or ".join(shape(each) for each in schema["anyOf"])
    if "format" in schema:
        words += f" {schema['format']}"
    if "minLength" in schema:
        words += " not empty" if schema["minLength"] == 1 else f" of {schema['minLength']} or more"
    # Show any other constraint literally, including those beside a reference, so that additions are noticed.
    shown = COMBINED if COMBINED & schema.keys() else SHAPED
    words += "".join(f" {key}={schema[key]}" for key in sorted(schema.keys() - shown - ANNOTATIONS))
    if schema.get("additionalProperties") is False:
        words += " closed"
    inner = schema.get("items") or schema.get("additionalProperties")
    return f"{words} of {shape(inner)}" if isinstance(inner, dict) else words


def constraints(part: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter or schema without annotations and `required: false`."""
    kept = {key: value for key, value in part.items() if key not in ANNOTATIONS and (key, value) != ("required", False)}
    return {**kept, "schema": constraints(kept["schema"])} if "schema" in kept else kept


def shapes(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Describe the contents of a request or response, by media type."""
    found = {kind: constraints(media) for kind, media in body.get("content", {}).items()}
    return {kind: {**media, "schema": shape(media["schema"])} for kind, media in found.items()}


def json_of(schema: str | None) -> dict[str, dict[str, str]]:
    """Return the expected shapes of a JSON body, or of no body."""
    return {"application/json": {"schema": schema}} if schema else {}


@each_fact
def test_routes(name: str) -> None:
    """Operations have the known routes, security, errors and successes."""
    operation, facts = OPERATIONS[name], FACTS[name]
    assert f"{operation.method.upper()} {operation.path}" == facts.route
    expected: list[Any] = [] if name == "health_check" else [{"agentToken": []}]
    assert operation.content.get("security", DOCUMENT["security"]) == expected
    responses = operation.content["responses"]
    assert facts.errors <= responses.keys()
    assert {status for status in responses if status[0] in "123"} == facts.successes
    found = {status: responses[status].get("$ref") for status in RESPONSES if status in responses}
    assert found == {status: f"#/components/responses/{RESPONSES[status]}" for status in found}


@each_fact
def test_parameters(name: str) -> None:
    """Operations have the known parameters; additional ones are optional."""
    found = {part.pop("name"): part for part in map(constraints, OPERATIONS[name].parameters())}
    known = FACTS[name].parameters | TOKENS
    assert {each: found.get(each) for each in known} == {each: PARAMETERS[each] for each in known}
    assert [each for each in found.keys() - known if "required" in found[each]] == []


@each_fact
def test_bodies(name: str) -> None:
    """Request and successful response are JSON with the known schemas."""
    content, facts = OPERATIONS[name].content, FACTS[name]
    body = resolve(content.get("requestBody", {}))
    assert shapes(body) == json_of(facts.body)
    assert body.get("required", False) == bool(facts.body)
    for status in facts.successes:
        assert (status, shapes(resolve(content["responses"][status]))) == (status, json_of(facts.answer))


def test_schemas() -> None:
    """Schemas have the known fields, types, required fields and openness.

    They have no enumerations, because agents send additional values.
    """
    for name, fields in SCHEMAS.items():
        schema = constraints(DOCUMENT["components"]["schemas"][name])
        required = set(schema.pop("required", ()))
        found = {field + "*" * (field in required): shape(part) for field, part in schema.pop("properties").items()}
        assert (name, {field: found.get(field) for field in fields}) == (name, fields)
        assert (name, required) == (name, {field[:-1] for field in fields if field.endswith("*")})
        assert (name, schema.pop("additionalProperties", True)) == (name, name not in CLOSED)
        assert (name, schema) == (name, {"type": "object"})
    assert re.search(r"'(enum|const)':", str(DOCUMENT["components"]["schemas"])) is None


def test_errors_are_described_alike() -> None:
    """Every error uses one JSON schema; 429 and 503 document Retry-After."""
    for name, response in DOCUMENT["components"]["responses"].items():
        assert (name, shapes(response)) == (name, json_of("Error"))
        shared = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
        expected = shared if name in {"TooManyRequests", "Unavailable"} else {}
        assert (name, response.get("headers", {})) == (name, expected)
    assert constraints(DOCUMENT["components"]["headers"]["RetryAfter"]) == {"schema": {"type": "string"}}


def test_a_cached_release_links_to_what_can_be_done_with_it() -> None:
    """Both create responses link to get, run and delete by release id."""
    for status in ("200", "201"):
        links = OPERATIONS["create_plugin_release"].content["responses"][status]["links"]
        for name, target in (("getRelease", "get"), ("runRelease", "run"), ("deleteRelease", "delete")):
            link = {"operationId": f"{target}_plugin_release", "parameters": {"lookup": "$response.body#/id"}}
            assert (status, name, constraints(resolve(links[name]))) == (status, name, link)


def test_the_server_is_the_agent_itself() -> None:
    """Paths are relative to the agent's URL, and the token is sent raw in Authorization."""
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]
    for operation in OPERATIONS.values():
        assert "servers" not in operation.item.keys() | operation.content.keys(), operation.id
    scheme = DOCUMENT["components"]["securitySchemes"]["agentToken"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")
