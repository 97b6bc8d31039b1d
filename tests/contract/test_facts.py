"""The facts that are known of agents in the field, which the document must state whatever else it comes to say.

A change that only adds passes: an operation, an optional parameter or field, a status. A change that contradicts what
agents in the field answer, or what callers of old send, fails here by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.conftest import DOCUMENT, operations, resolve

if TYPE_CHECKING:
    from tests.contract.conftest import Operation

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
TOKENS = {"SYNAPSE-User": "header", "SYNAPSE-Tenant": "header"}
FACTS: dict[str, dict[str, Any]] = {
    "list_plugin_releases": {
        "route": "GET /plugin_releases/",
        "parameters": {"page": "query", "page_size": "query", "filters": "query", **TOKENS},
        "statuses": SECURED | {"200", "404", "422"},
        "body": None,
        "answers": {"200": "PluginReleasePage"},
    },
    "create_plugin_release": {
        "route": "POST /plugin_releases/",
        "parameters": TOKENS,
        "statuses": POSTED | {"200", "201"},
        "body": "CreatePluginReleaseRequest",
        "answers": {"200": "PluginRelease", "201": "PluginRelease"},
    },
    "get_plugin_release": {
        "route": "GET /plugin_releases/{lookup}",
        "parameters": {"lookup": "path", **TOKENS},
        "statuses": SECURED | {"200", "404"},
        "body": None,
        "answers": {"200": "PluginRelease"},
    },
    "delete_plugin_release": {
        "route": "DELETE /plugin_releases/{lookup}",
        "parameters": {"lookup": "path", **TOKENS},
        "statuses": SECURED | {"204", "404", "409"},
        "body": None,
        "answers": {"204": None},
    },
    "run_plugin_release": {
        "route": "POST /plugin_releases/{lookup}/run/",
        "parameters": {"lookup": "path", "Idempotency-Key": "header", **TOKENS},
        "statuses": POSTED | {"200"},
        "body": "RunPluginReleaseRequest",
        "answers": {"200": ...},
    },
    "run_debug_plugin_release": {
        "route": "POST /plugin_releases/run_debug/",
        "parameters": {"Idempotency-Key": "header", **TOKENS},
        "statuses": POSTED | {"200"},
        "body": "RunDebugPluginReleaseRequest",
        "answers": {"200": ...},
    },
    "health_check": {
        "route": "GET /health/",
        "parameters": TOKENS,
        "statuses": COMMON | {"200"},
        "body": None,
        "answers": {"200": "Health"},
    },
}
RUN_FIELDS = {
    "action": "string",
    "params": "object",
    "requirements": "array of string",
    "job_id": "string",
    "language": "string",
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "PluginRelease": {
        "required": {"id", "plugin", "version"},
        "fields": {
            "id": "integer",
            "plugin": "string",
            "version": "string",
            "config": "object",
            "actions": "anything",
            "created": "string date-time",
            "size": "integer",
        },
        "is_open": True,
    },
    "PluginReleasePage": {
        "required": {"count", "next", "previous", "results"},
        "fields": {
            "count": "integer",
            "next": "string or null",
            "previous": "string or null",
            "results": "array of PluginRelease",
        },
        "is_open": True,
    },
    "CreatePluginReleaseRequest": {
        "required": {"plugin", "version"},
        "fields": {"plugin": "string not empty", "version": "string not empty"},
        "is_open": False,
    },
    "RunPluginReleaseRequest": {"required": {"action"}, "fields": RUN_FIELDS, "is_open": True},
    "RunDebugPluginReleaseRequest": {
        "required": {"action"},
        "fields": {**RUN_FIELDS, "plugin_path": "string", "config": "object", "modules": "object of string"},
        "is_open": True,
    },
    "Health": {"required": set(), "fields": {"status": "string", "version": "string"}, "is_open": True},
    "Error": {
        "required": {"detail"},
        "fields": {"detail": "string or array of ValidationIssue or object", "error_type": "string"},
        "is_open": True,
    },
    "ValidationIssue": {
        "required": {"loc", "msg", "type"},
        "fields": {"loc": "array of string or integer", "msg": "string", "type": "string"},
        "is_open": True,
    },
}
PARAMETERS: dict[str, dict[str, Any]] = {
    "page": {"required": False, "schema": {"type": "integer", "minimum": 1}},
    "page_size": {"required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
    "filters": {
        "required": False,
        "style": "form",
        "explode": True,
        "schema": {"type": "object", "additionalProperties": True},
    },
    "lookup": {"required": True, "schema": {"type": "string", "minLength": 1}},
    "Idempotency-Key": {
        "required": False,
        "schema": {
            "type": "string",
            "pattern": "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$",
        },
    },
    "SYNAPSE-User": {"required": False, "schema": {"type": "string"}},
    "SYNAPSE-Tenant": {"required": False, "schema": {"type": "string"}},
}
# What describes and does not constrain: it may change at any time.
ANNOTATIONS = {"description", "summary", "deprecated", "example", "examples", "externalDocs", "$comment"}
SHAPED = {"type", "format", "minLength", "items", "additionalProperties"}
COMBINED = {"$ref", "anyOf"}
each_fact = pytest.mark.parametrize("name", FACTS)


def shape(schema: dict[str, Any]) -> str:
    """What a schema describes, in words."""
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
    # A constraint that is none of these is shown as it is, so that none slips in, and so is any beside a reference.
    shown = COMBINED if COMBINED & schema.keys() else SHAPED
    words += "".join(f" {key}={schema[key]}" for key in sorted(schema.keys() - shown - ANNOTATIONS))
    if schema.get("additionalProperties") is False:
        words += " closed"
    inner = schema.get("items") or schema.get("additionalProperties")
    return f"{words} of {shape(inner)}" if isinstance(inner, dict) else words


def parameters(operation: Operation) -> dict[str, dict[str, Any]]:
    """All parameters of an operation by name."""
    declared = [*operation.item.get("parameters", []), *operation.content["parameters"]]
    return {part["name"]: part for part in map(resolve, declared)}


@each_fact
def test_route(name: str) -> None:
    """Method and path of an operation are those that agents answer to, to the letter."""
    operation = OPERATIONS[name]
    assert f"{operation.method.upper()} {operation.path}" == FACTS[name]["route"]


@each_fact
def test_parameters(name: str) -> None:
    """An operation has the known parameters in their places, as they are described, and further ones are optional."""
    found = parameters(OPERATIONS[name])
    for parameter, place in FACTS[name]["parameters"].items():
        assert (parameter, found[parameter]["in"]) == (parameter, place)
        facts = PARAMETERS[parameter]
        schema = {key: value for key, value in found[parameter]["schema"].items() if key != "description"}
        assert (parameter, schema) == (parameter, facts["schema"])
        assert (parameter, found[parameter].get("required", False)) == (parameter, facts["required"])
        known = {"name", "in", "required", "schema", "style", "explode"}
        assert (parameter, found[parameter].keys() - known - ANNOTATIONS) == (parameter, set())
        for key in ("style", "explode"):
            assert (parameter, found[parameter].get(key)) == (parameter, facts.get(key))
    further = found.keys() - FACTS[name]["parameters"].keys()
    assert [each for each in further if found[each].get("required")] == []


@each_fact
def test_statuses(name: str) -> None:
    """An operation has all answers that can really come, no further success, and to an error's status its answer."""
    responses = OPERATIONS[name].content["responses"]
    assert FACTS[name]["statuses"] <= responses.keys()
    assert {status for status in responses if status[0] in "123"} == FACTS[name]["answers"].keys()
    found = {status: responses[status].get("$ref") for status in RESPONSES if status in responses}
    assert found == {status: f"#/components/responses/{RESPONSES[status]}" for status in found}


@each_fact
def test_bodies(name: str) -> None:
    """Request and success of an operation are JSON of the known schemas."""
    content = OPERATIONS[name].content
    if FACTS[name]["body"] is None:
        assert "requestBody" not in content
    else:
        body = resolve(content["requestBody"])
        assert body["required"] is True
        assert {kind: shape(media["schema"]) for kind, media in body["content"].items()} == {
            "application/json": FACTS[name]["body"]
        }
        assert {key for media in body["content"].values() for key in media} <= {"schema", *ANNOTATIONS}
    for status, expected in FACTS[name]["answers"].items():
        answer = resolve(content["responses"][status]).get("content", {})
        if expected is None:
            assert answer == {}
        elif expected is ...:
            assert {kind: media["schema"].keys() for kind, media in answer.items()} == {
                "application/json": {"description"}
            }
        else:
            assert {kind: shape(media["schema"]) for kind, media in answer.items()} == {"application/json": expected}


@each_fact
def test_token(name: str) -> None:
    """Every operation asks for the agent token, but for the health check."""
    expected: list[Any] = [] if name == "health_check" else [{"agentToken": []}]
    assert OPERATIONS[name].content.get("security", DOCUMENT["security"]) == expected


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas(name: str) -> None:
    """A schema has the known fields with their types, requires what is known to be there, and is open where it was."""
    schema = DOCUMENT["components"]["schemas"][name]
    assert schema["type"] == "object"
    assert set(schema.get("required", ())) == SCHEMAS[name]["required"]
    found = {field: shape(content) for field, content in schema["properties"].items()}
    assert {field: found.get(field) for field in SCHEMAS[name]["fields"]} == SCHEMAS[name]["fields"]
    assert schema.get("additionalProperties", True) is SCHEMAS[name]["is_open"]
    assert schema.keys() - ANNOTATIONS <= {"type", "required", "properties", "additionalProperties"}


def test_no_enum_is_closed() -> None:
    """No schema lists all values that there can be, since agents have more of them."""
    assert re.search(r"'(enum|const)':", str(DOCUMENT["components"]["schemas"])) is None


def test_the_token_is_raw() -> None:
    """The token stands in the Authorization header as it is."""
    scheme = DOCUMENT["components"]["securitySchemes"]["agentToken"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "header", "Authorization")


def test_errors_are_described_alike() -> None:
    """Every error is JSON of one schema, and those that tell when to try again say so in Retry-After."""
    for name, response in DOCUMENT["components"]["responses"].items():
        assert {kind: shape(media["schema"]) for kind, media in response["content"].items()} == {
            "application/json": "Error"
        }
        shared = {"Retry-After": {"$ref": "#/components/headers/RetryAfter"}}
        expected = shared if name in {"TooManyRequests", "Unavailable"} else {}
        assert (name, response.get("headers", {})) == (name, expected)
    header = DOCUMENT["components"]["headers"]["RetryAfter"]
    assert shape(header["schema"]) == "string"
    assert header.keys() - ANNOTATIONS == {"schema"}


def test_a_cached_release_links_to_what_can_be_done_with_it() -> None:
    """Both answers of create link to get, run and delete by the release's id."""
    targets = {
        "getRelease": "get_plugin_release",
        "runRelease": "run_plugin_release",
        "deleteRelease": "delete_plugin_release",
    }
    expected = {
        name: {"operationId": target, "parameters": {"lookup": "$response.body#/id"}}
        for name, target in targets.items()
    }
    responses = OPERATIONS["create_plugin_release"].content["responses"]
    for status in ("200", "201"):
        links = {name: resolve(link) for name, link in responses[status]["links"].items()}
        found = {name: {key: link[key] for key in link if key != "description"} for name, link in links.items()}
        assert {name: found.get(name) for name in expected} == expected


def test_the_server_is_the_agent_itself() -> None:
    """Paths are below whatever URL the agent is reached at."""
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/"]
    for operation in OPERATIONS.values():
        assert "servers" not in operation.item
        assert "servers" not in operation.content


def test_the_version_is_semantic() -> None:
    """The contract's version is a semantic one."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", DOCUMENT["info"]["version"])
