"""The document itself: valid, complete, and with examples that are what they are examples of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
import synapse_agent_api.models
from openapi_spec_validator import validate

from tests.contract.conftest import DOCUMENT, Example, bodies, examples, operations, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import Operation

OPERATIONS = list(operations())
EXAMPLES = list(examples())
MODEL_EXAMPLES = [example for example in EXAMPLES if "$ref" in example.schema]
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator of a schema as it stands in the document."""
    registry = jsonschema_rs.Registry([("urn:contract", DOCUMENT)])
    if "$ref" in schema:
        schema = {"$ref": "urn:contract" + schema["$ref"]}
    return jsonschema_rs.Draft202012Validator(schema, registry=registry, validate_formats=True)


def same_dates(value: Any) -> Any:
    """A value with its dates spelt alike: the generated models read `Z` and write `+00:00`, which mean the same."""
    if isinstance(value, dict):
        return {name: same_dates(part) for name, part in value.items()}
    if isinstance(value, list):
        return [same_dates(part) for part in value]
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
        return value.removesuffix("Z") + "+00:00"
    return value


def test_document_is_valid_openapi() -> None:
    """The document is valid OpenAPI 3.1."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_every_reference_leads_somewhere() -> None:
    """Every `$ref` names a part of the document that there is."""
    waiting: list[Any] = [DOCUMENT]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "$ref" in part:
                assert resolve(part)
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


DESCRIBING = {"summary", "description", "externalDocs", "tags"}
UNREAD = "neither generator, wrapper nor agent reads this: teach them first"


def unread(part: dict[str, Any], *read: str) -> set[str]:
    """What a part of the document has that means something, and that nobody here reads."""
    return {name for name in part.keys() - DESCRIBING - {*read} if not name.startswith("x-")}


def test_nothing_is_promised_that_nobody_reads() -> None:
    """Neither generator, wrapper nor agent knows webhooks, callbacks or deprecation: what a contract has, they know."""
    assert unread(DOCUMENT, "openapi", "info", "servers", "security", "paths", "components") == set(), UNREAD
    for path, item in DOCUMENT["paths"].items():
        assert unread(item, "parameters", "get", "post", "put", "patch", "delete") == set(), f"{path}: {UNREAD}"
    for operation in OPERATIONS:
        found = unread(operation.content, "operationId", "parameters", "requestBody", "responses", "security")
        assert found == set(), f"{operation.id}: {UNREAD}"


@each_operation
def test_operation_is_described(operation: Operation) -> None:
    """An operation says in a line and in full what it does."""
    assert operation.content["summary"].strip()
    assert operation.content["description"].strip().endswith(".")


@each_operation
def test_parameters_are_described(operation: Operation) -> None:
    """Every parameter has its description inside its schema, where the generator reads it, and a valid example."""
    for part in [*operation.item.get("parameters", []), *operation.content["parameters"]]:
        parameter = resolve(part)
        assert parameter["schema"]["description"].strip(), parameter["name"]
        given = [resolve(example)["value"] for example in parameter.get("examples", {}).values()]
        given += [parameter["example"]] if "example" in parameter else []
        assert given, f"{parameter['name']} has no example"
        for value in given:
            validator(parameter["schema"]).validate(value)


@each_operation
def test_error_responses_are_shared(operation: Operation) -> None:
    """Every error response, and there is a default one, is a reference to a shared component."""
    errors = {status: response for status, response in operation.content["responses"].items() if status[0] != "2"}
    assert "default" in errors
    for status, response in errors.items():
        assert response.keys() == {"$ref"}, status
        assert response["$ref"].startswith("#/components/responses/"), status


@each_operation
def test_operation_that_needs_a_token_can_refuse_it(operation: Operation) -> None:
    """An operation has the 401 response exactly where it asks for a token."""
    needs_token = bool(operation.content.get("security", DOCUMENT["security"]))
    assert ("401" in operation.content["responses"]) == needs_token


def test_every_field_is_described() -> None:
    """Every schema and every field of it says what it is."""
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"].strip(), name
        for field, content in schema["properties"].items():
            assert content["description"].strip(), f"{name}.{field}"


def test_every_body_has_an_example() -> None:
    """Every request body and every response body has at least one example."""
    assert [where for where, media in bodies() if not media.get("examples")] == []


@pytest.mark.parametrize("example", MODEL_EXAMPLES, ids=lambda example: example.where)
def test_example_passes_through_its_model(example: Example) -> None:
    """An example that is read into its generated model and written again is unchanged, but for how dates are spelt."""
    model = getattr(synapse_agent_api.models, example.schema["$ref"].rpartition("/")[2])
    assert same_dates(model.from_dict(example.value).to_dict()) == same_dates(example.value)


@pytest.mark.parametrize(
    "schema", ["PluginRelease", "PluginReleasePage", "Health", "Error", "RunPluginReleaseRequest"], ids=str
)
def test_unknown_fields_are_kept(schema: str) -> None:
    """A field that the contract does not know is valid, and kept by the generated model."""
    known = next(example.value for example in MODEL_EXAMPLES if example.schema["$ref"].endswith(f"/{schema}"))
    value = {**known, "a_later_field": {"deep": [1, None]}}
    validator({"$ref": f"#/components/schemas/{schema}"}).validate(value)
    model = getattr(synapse_agent_api.models, schema)
    assert same_dates(model.from_dict(value).to_dict()) == same_dates(value)


def test_create_is_strict() -> None:
    """The body of `create` takes no further fields."""
    request = {"plugin": "a", "version": "1", "extra": True}
    assert not validator({"$ref": "#/components/schemas/CreatePluginReleaseRequest"}).is_valid(request)


@each_operation
def test_parameters_are_declared_once(operation: Operation) -> None:
    """No parameter of an operation is declared both for its path and for itself: sides differ in which one counts."""
    declared = [resolve(part) for part in [*operation.item.get("parameters", []), *operation.content["parameters"]]]
    places = [(part["in"], part["name"]) for part in declared]
    assert sorted(places) == sorted(set(places))


def parts(where: str, part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a part of the document, and where it stands, but for what is inside of examples."""
    if isinstance(part, dict):
        yield where, part
        for name, inner in part.items():
            if name not in {"example", "examples"} or where.endswith("/properties"):
                yield from parts(f"{where}/{name}", inner)
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from parts(f"{where}/{index}", inner)


def all_examples() -> Iterator[Example]:
    """Every example of a parameter, a header, a body, a schema or a field."""
    for where, part in parts("#", DOCUMENT):
        given = part.get("examples", [])
        if where.endswith("/properties") or where == "#/components":
            continue
        values = [resolve(each)["value"] for each in given.values()] if isinstance(given, dict) else list(given)
        values += [part["example"]] if "example" in part else []
        yield from (Example(where, part.get("schema", part), value) for value in values)


@pytest.mark.parametrize("example", list(all_examples()), ids=lambda example: example.where)
def test_every_example_matches_its_schema(example: Example) -> None:
    """An example of a parameter, a header, a body, a schema or a field is what its schema describes."""
    validator(example.schema).validate(example.value)


def test_links_lead_to_operations() -> None:
    """Every link names an operation that there is, a parameter of it, and a field of the answer that it stands in."""
    for operation in OPERATIONS:
        for status, response in operation.content["responses"].items():
            for name, link in resolve(response).get("links", {}).items():
                where = f"{operation.id} {status} {name}"
                check_link(where, resolve(link), resolve(response))


def check_link(where: str, link: dict[str, Any], response: dict[str, Any]) -> None:
    """Hold a link against the operation that it leads to, and the answer that it takes its values from."""
    assert link.keys() <= {"operationId", "parameters", "description"}, where
    targets = [operation for operation in OPERATIONS if operation.id == link["operationId"]]
    assert targets, f"{where}: there is no operation {link['operationId']}"
    declared = [*targets[0].item.get("parameters", []), *targets[0].content["parameters"]]
    assert link["parameters"].keys() <= {resolve(part)["name"] for part in declared}, where
    fields = resolve(response["content"]["application/json"]["schema"])["properties"]
    for value in link["parameters"].values():
        assert value.removeprefix("$response.body#/") in fields, f"{where}: the answer has no field for {value}"
