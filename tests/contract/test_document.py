"""The contract is valid and complete, and its examples match their schemas."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import synapse_agent_api.models
from openapi_spec_validator import validate

from tests.contract.conftest import DOCUMENT, operations, resolve, validator

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.contract

OPERATIONS = list(operations())
DESCRIBING = {"summary", "description", "externalDocs", "tags"}
UNREAD = "unsupported by the generator, wrapper and agent"


def same_dates(value: Any) -> Any:
    """Normalize dates: the generated models read `Z` and write the equivalent `+00:00`."""
    return json.loads(re.sub(r'(T[\d:.]+)Z"', r'\1+00:00"', json.dumps(value)))


def parts(where: str, part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object in a part of the document with its path, except inside examples."""
    if isinstance(part, dict):
        yield where, part
        for name, inner in part.items():
            if name not in {"example", "examples"} or where.endswith("/properties"):
                yield from parts(f"{where}/{name}", inner)
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from parts(f"{where}/{index}", inner)


def all_examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield every example in the document: its path, schema and value."""
    for where, part in parts("#", DOCUMENT):
        given = part.get("examples", [])
        if where.endswith("/properties") or where == "#/components":
            continue
        values = [resolve(each)["value"] for each in given.values()] if isinstance(given, dict) else list(given)
        values += [part["example"]] if "example" in part else []
        yield from ((where, part.get("schema", part), value) for value in values)


EXAMPLES = list(all_examples())
MODELS = [(schema["$ref"].rpartition("/")[2], where, value) for where, schema, value in EXAMPLES if "$ref" in schema]


def through_its_model(name: str, value: Any) -> Any:
    """Return a value after a round trip through its generated model."""
    return same_dates(getattr(synapse_agent_api.models, name).from_dict(value).to_dict())


def unread(part: dict[str, Any], *read: str) -> set[str]:
    """Return the keys of a part that have a meaning but are not read."""
    return {name for name in part.keys() - DESCRIBING - {*read} if not name.startswith("x-")}


def test_document_is_valid_openapi() -> None:
    """The document is valid OpenAPI 3.1 with a semantic version, and every `$ref` resolves."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)
    assert re.fullmatch(r"\d+\.\d+\.\d+", DOCUMENT["info"]["version"])
    for where, part in parts("#", DOCUMENT):
        assert "$ref" not in part or resolve(part), where


def test_nothing_is_promised_that_nobody_reads() -> None:
    """The contract uses only features that the generator, wrapper and agent support."""
    assert unread(DOCUMENT, "openapi", "info", "servers", "security", "paths", "components") == set(), UNREAD
    for path, item in DOCUMENT["paths"].items():
        assert unread(item, "parameters", "get", "post", "put", "patch", "delete") == set(), f"{path}: {UNREAD}"
    for operation in OPERATIONS:
        found = unread(operation.content, "operationId", "parameters", "requestBody", "responses", "security")
        assert found == set(), f"{operation.id}: {UNREAD}"


def test_everything_is_described() -> None:
    """Every operation, schema and field has a description, and every body has an example."""
    for operation in OPERATIONS:
        assert operation.content["summary"].strip(), operation.id
        assert operation.content["description"].strip().endswith("."), operation.id
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"].strip(), name
        for field, content in schema["properties"].items():
            assert content["description"].strip(), f"{name}.{field}"
    bodies = [(where, part) for where, part in parts("#", DOCUMENT) if re.search("/content/[^/]+/[^/]+$", where)]
    assert bodies
    assert [where for where, media in bodies if not media.get("examples")] == []


def test_parameters_are_described() -> None:
    """Each parameter is declared once, with an example and a description in its schema.

    Implementations disagree on which declaration wins if both path and operation have one.
    """
    for operation in OPERATIONS:
        declared = operation.parameters()
        places = [(part["in"], part["name"]) for part in declared]
        assert sorted(places) == sorted(set(places)), operation.id
        for part in declared:
            assert part["schema"]["description"].strip(), f"{operation.id} {part['name']}"
            assert "example" in part or part.get("examples"), f"{operation.id} {part['name']}"


def test_error_responses_are_shared() -> None:
    """Error responses are shared components; each operation has a default, and a 401 if it needs a token."""
    for operation in OPERATIONS:
        responses = operation.content["responses"]
        errors = {status: response for status, response in responses.items() if status[0] != "2"}
        assert "default" in errors, operation.id
        for status, response in errors.items():
            assert response.keys() == {"$ref"}, f"{operation.id} {status}"
            assert response["$ref"].startswith("#/components/responses/"), f"{operation.id} {status}"
        assert ("401" in responses) == bool(operation.content.get("security", DOCUMENT["security"])), operation.id


def test_every_example_is_what_it_is_an_example_of() -> None:
    """Examples match their schemas and survive a round trip through the generated models."""
    assert MODELS
    validated = ((where, validator(schema).iter_errors(value)) for where, schema, value in EXAMPLES)
    assert [(where, error.message) for where, errors in validated for error in errors] == []
    changed = [where for name, where, value in MODELS if through_its_model(name, value) != same_dates(value)]
    assert changed == []


def test_unknown_fields_are_kept() -> None:
    """Unknown fields are valid and kept by the generated models, except in strict requests."""
    examples = {name: value for name, _, value in MODELS}
    assert examples.keys() > {"PluginRelease", "PluginReleasePage", "Error", "RunPluginReleaseRequest"}
    for name, known in examples.items():
        value = {**known, "a_later_field": {"deep": [1, None]}}
        is_open = name != "CreatePluginReleaseRequest"
        assert validator({"$ref": f"#/components/schemas/{name}"}).is_valid(value) is is_open, name
        assert not is_open or through_its_model(name, value) == same_dates(value), name
