"""What the clients send and return, held against the contract: off the wire, in both flavours.

Every argument is given a value of its own, so that one which is dropped or put elsewhere is missed here. Texts have
capitals, spaces at their ends and parts that come twice, so that one which is tidied on its way is missed as well.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import jsonschema_rs
import pytest
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import answers

from tests.contract.conftest import DOCUMENT, bodies, operations, resolve
from tests.wire.faults import reply, silence

if TYPE_CHECKING:
    from tests.contract.conftest import Operation
    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import Received

OPERATIONS = {operation.id: operation for operation in operations()}
REGISTRY = jsonschema_rs.Registry([("urn:contract", DOCUMENT)])
KEY = "7f3f0e0a-6f1c-4c6b-9d52-2a4d8c1b7e90"
RUN = {
    "action": " Train ",
    "params": {" Epochs ": 10, "deep": [None, {"x": 1.5}]},
    "requirements": ["Pillow >=9.0.0 ", "numpy", "numpy"],
    "job_id": " Job-1 ",
    "language": " ko-KR ",
}
DEBUG = {
    **RUN,
    "plugin_path": "../Path/to//plugin/. ",
    "config": {" Debug ": True},
    "modules": {"My_plugin.processor": " class Processor: ...\n"},
}
# Each operation with every argument: what is given, and what has to arrive as query and as body.
FULL: dict[str, tuple[dict[str, Any], list[tuple[str, str]], Any]] = {
    "list_plugin_releases": (
        {"params": {"page": 2, "page_size": 50, "plugin": " Ocr ", "anything": True}},
        [("page", "2"), ("page_size", "50"), ("plugin", " Ocr "), ("anything", "true")],
        None,
    ),
    "create_plugin_release": (
        {"plugin": " Ocr ", "version": " 2.0.0+Lig "},
        [],
        {"plugin": " Ocr ", "version": " 2.0.0+Lig "},
    ),
    "get_plugin_release": ({"lookup": " Ocr@2.0.0+Lig "}, [], None),
    "delete_plugin_release": ({"lookup": " Ocr@2.0.0+Lig "}, [], None),
    "run_plugin_release": ({"lookup": " Ocr@2.0.0+Lig ", **RUN, "idempotency_key": KEY}, [], RUN),
    "run_debug_plugin_release": ({**DEBUG, "idempotency_key": KEY}, [], DEBUG),
    "health_check": ({}, [], None),
}
# Each operation with as little as it takes.
LEAST: dict[str, tuple[dict[str, Any], list[tuple[str, str]], Any]] = {
    **{name: FULL[name] for name in ("create_plugin_release", "get_plugin_release", "delete_plugin_release")},
    "list_plugin_releases": ({}, [], None),
    "run_plugin_release": ({"lookup": 7, "action": "train"}, [], {"action": "train"}),
    "run_debug_plugin_release": ({"action": "train"}, [], {"action": "train"}),
    "health_check": ({}, [], None),
}
# Headers of HTTP itself, which no contract lists.
HTTP_HEADERS = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type"}


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator of a schema as it stands in the document."""
    if "$ref" in schema:
        schema = {"$ref": "urn:contract" + schema["$ref"]}
    return jsonschema_rs.Draft202012Validator(schema, registry=REGISTRY, validate_formats=True)


def parameters(operation: Operation, place: str) -> dict[str, dict[str, Any]]:
    """The parameters of an operation in a place, by name."""
    declared = map(resolve, [*operation.item.get("parameters", []), *operation.content["parameters"]])
    return {part["name"]: part for part in declared if part["in"] == place}


def converted(text: str, schema: dict[str, Any]) -> Any:
    """A text of a query or a header as the type that its schema names."""
    return int(text) if schema.get("type") == "integer" and re.fullmatch(r"-?\d+", text) else text


def check(request: Received, operation: Operation) -> None:
    """Hold a request that arrived against the operation that it is to be."""
    assert request.method == operation.method.upper()
    pattern = re.sub(r"\\\{[^}]*\\\}", "([^/]+)", re.escape(operation.path))
    match = re.fullmatch(pattern, request.path)
    assert match is not None, f"{request.path} is not {operation.path}"
    for value, parameter in zip(match.groups(), parameters(operation, "path").values(), strict=True):
        validator(parameter["schema"]).validate(unquote(value))

    declared = parameters(operation, "query")
    takes_any = any(part["schema"].get("type") == "object" for part in declared.values())
    for name, text in request.query:
        if name in declared:
            validator(declared[name]["schema"]).validate(converted(text, declared[name]["schema"]))
        else:
            assert takes_any, f"the query has {name}, which the contract has not"

    known = {name.lower(): part for name, part in parameters(operation, "header").items()}
    schemes = [name for needed in operation.content.get("security", DOCUMENT["security"]) for name in needed]
    tokens = {DOCUMENT["components"]["securitySchemes"][name]["name"].lower() for name in schemes}
    assert tokens <= request.headers.keys()
    for name, text in request.headers.items():
        if name in known:
            validator(known[name]["schema"]).validate(text)
        else:
            assert name in HTTP_HEADERS | tokens | {"authorization"}, f"the contract has no header {name}"

    if "requestBody" in operation.content:
        media = resolve(operation.content["requestBody"])["content"][request.headers["content-type"]]
        validator(media["schema"]).validate(request.json)
    else:
        assert request.body == b""


def test_every_operation_is_called() -> None:
    """The tables of calls have every operation of the contract."""
    assert FULL.keys() == LEAST.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("table", [FULL, LEAST], ids=["every argument", "as little as it takes"])
def test_calls_are_what_the_contract_says(
    open_client: OpenClient, open_server: OpenServer, name: str, table: dict[str, Any]
) -> None:
    """A call sends what the contract describes: every argument where it belongs, and nothing that was not given."""
    arguments, query, body = table[name]
    server = open_server(reply({}))
    client = open_client(server.url, user_token="user", tenant="tenant")
    getattr(client, name)(**arguments)
    (request,) = server.requests
    check(request, OPERATIONS[name])
    assert request.query == query
    assert (request.json if request.body else None) == body
    if "lookup" in arguments:
        assert unquote(request.path.split("/")[2]) == str(arguments["lookup"])
    if "idempotency_key" in arguments:
        assert request.headers["idempotency-key"] == arguments["idempotency_key"]
    assert request.headers["synapse-user"] == "Token user"
    assert request.headers["synapse-tenant"] == "Token tenant"


@pytest.mark.parametrize("name", FULL)
def test_raw_responses_are_asked_for_as_the_contract_says(
    open_client: OpenClient, open_server: OpenServer, name: str
) -> None:
    """A call for a raw response sends what the call itself does, and its value is the same."""
    arguments, query, body = FULL[name]
    server = open_server(reply({"any": "value"}))
    client = open_client(server.url, user_token="user", tenant="tenant")
    response = getattr(client.with_raw_response, name)(**arguments)
    (request,) = server.requests
    check(request, OPERATIONS[name])
    assert (request.query, request.json if request.body else None) == (query, body)
    assert response.parse() == getattr(client, name)(**arguments)


def test_a_cached_release_calls_what_the_contract_has(open_client: OpenClient, open_server: OpenServer) -> None:
    """A release for a block is created, run with every argument, and deleted as the contract says."""
    release = {"id": 7, "plugin": "ocr", "version": "2.0.0"}
    server = open_server(reply(release, 201), reply("done"), reply(None, 204))
    client = open_client(server.url, user_token="user", tenant="tenant")
    with client.plugin_release("ocr", "2.0.0", delete=True) as cached:
        assert cached.run(**RUN, idempotency_key=KEY) == "done"
    created, run, deleted = server.requests
    check(created, OPERATIONS["create_plugin_release"])
    check(run, OPERATIONS["run_plugin_release"])
    check(deleted, OPERATIONS["delete_plugin_release"])
    assert (run.json, run.headers["idempotency-key"]) == (RUN, KEY)
    assert run.lookup == deleted.lookup == "7"


@pytest.mark.parametrize("name", FULL)
def test_everything_of_the_contract_can_be_sent(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """Every parameter and every field of a body can be reached from some argument of the client."""
    server = open_server(reply({}))
    client = open_client(server.url, user_token="user", tenant="tenant")
    getattr(client, name)(**FULL[name][0])
    (request,) = server.requests
    operation = OPERATIONS[name]
    declared = {each for each, part in parameters(operation, "query").items() if part["schema"].get("type") != "object"}
    assert declared - dict(request.query).keys() == set()
    assert {each.lower() for each in parameters(operation, "header")} - request.headers.keys() == set()
    if "requestBody" in operation.content:
        media = resolve(operation.content["requestBody"])["content"]["application/json"]
        assert resolve(media["schema"])["properties"].keys() - request.json.keys() == set()


def test_pruning_calls_what_the_contract_has(open_client: OpenClient, open_server: OpenServer) -> None:
    """Pruning lists and deletes as the contract says."""
    release = {"id": 7, "plugin": "ocr", "version": "2.0.0", "created": "2020-01-01T00:00:00Z"}
    page = {"count": 1, "next": None, "previous": None, "results": [release]}
    server = open_server(reply(page), reply(None, 204))
    client = open_client(server.url, user_token="user", tenant="tenant")
    assert client.prune_plugin_releases(older_than="30d", plugin="ocr") == [release]
    listed, deleted = server.requests
    check(listed, OPERATIONS["list_plugin_releases"])
    check(deleted, OPERATIONS["delete_plugin_release"])


@pytest.mark.parametrize("data", [{}, {"action": "train", "anything": [1]}, {"params": None}])
def test_data_is_sent_as_it_is(open_client: OpenClient, open_server: OpenServer, data: dict[str, Any]) -> None:
    """The body of a call of old is the caller's, whatever else is given, and the rest of the request the contract's."""
    server = open_server(reply("done"))
    client = open_client(server.url)
    ignored = {"action": "other", "params": "none", "requirements": "none", "job_id": 7, "language": 7}
    client.run_plugin_release("ocr@1", data=data, **ignored, idempotency_key=KEY)
    client.run_debug_plugin_release(data=data, **ignored, plugin_path=7, config=7, modules=7, idempotency_key=KEY)
    assert [request.json for request in server.requests] == [data, data]
    assert [request.headers["idempotency-key"] for request in server.requests] == [KEY, KEY]
    assert server.requests[0].path == OPERATIONS["run_plugin_release"].path.replace("{lookup}", "ocr%401")
    assert server.requests[1].path == OPERATIONS["run_debug_plugin_release"].path


@pytest.mark.parametrize("name", [name for name, (arguments, *_) in FULL.items() if "action" in arguments])
def test_the_timeout_of_a_run_is_its_own(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """A run takes a timeout, which goes before that of the client."""
    client = open_client(open_server(silence).url, timeout=5)
    started = time.monotonic()
    with pytest.raises(exceptions.ClientTimeoutError):
        getattr(client, name)(**LEAST[name][0], timeout=0.05)
    assert time.monotonic() - started < 4


def test_the_timeout_of_a_cached_release_is_its_own(open_client: OpenClient, open_server: OpenServer) -> None:
    """A release for a block takes the timeout of a run, as the client does."""
    server = open_server(reply({"id": 7, "plugin": "ocr", "version": "1"}, 201), silence, reply(None, 204))
    started = time.monotonic()
    client = open_client(server.url, timeout=5)
    with client.plugin_release("ocr", "1") as cached, pytest.raises(exceptions.ClientTimeoutError):
        cached.run("train", timeout=0.05)
    assert time.monotonic() - started < 4


def successes() -> list[tuple[str, int, Any]]:
    """Every example of a success: its operation, its status and its body."""
    found = []
    for name, operation in OPERATIONS.items():
        for status, response in operation.content["responses"].items():
            for media in response.get("content", {}).values():
                found += [(name, int(status), resolve(each)["value"]) for each in media["examples"].values()]
    return found


@pytest.mark.parametrize(("name", "status", "value"), successes())
def test_examples_come_back_unchanged(
    open_client: OpenClient, open_server: OpenServer, name: str, status: int, value: Any
) -> None:
    """An example of a success that an agent answers is what the client returns."""
    client = open_client(open_server(reply(value, status)).url)
    assert getattr(client, name)(**LEAST[name][0]) == value


def failures() -> list[tuple[str, int, Any]]:
    """Every example of an error with the operations and statuses that have it."""
    examples = {where.split()[0]: media["examples"] for where, media in bodies()}
    found = []
    for name, operation in OPERATIONS.items():
        for status, response in operation.content["responses"].items():
            if "$ref" in response and status != "default":
                shared = examples[response["$ref"].rpartition("/")[2]]
                found += [(name, int(status), each["value"]) for each in shared.values()]
    return found


@pytest.mark.parametrize(("name", "status", "value"), failures())
def test_errors_come_back_as_what_they_are(
    open_client: OpenClient, open_server: OpenServer, name: str, status: int, value: Any
) -> None:
    """An example of an error that an agent answers is raised as its class, with its detail untouched."""
    client = open_client(open_server(reply(value, status)).url, retry=None)
    with pytest.raises(exceptions.HTTPError) as caught:
        getattr(client, name)(**LEAST[name][0])
    error = caught.value
    assert (error.status_code, error.detail, error.error_type) == (status, value["detail"], value.get("error_type"))
    assert isinstance(error, answers.ERRORS.get(status, exceptions.HTTPError))


def test_every_documented_status_has_a_class() -> None:
    """Each status of an error that the contract lists is raised as a class of its own, or as a ServerError."""
    statuses = {status for operation in OPERATIONS.values() for status in operation.content["responses"]}
    plain = {int(status) for status in statuses if status[0] == "4"} - answers.ERRORS.keys()
    assert plain == {413, 415}


def test_the_client_reads_every_header_of_an_answer() -> None:
    """The headers that the contract has for answers are those that the client makes use of."""
    responses = [resolve(each) for operation in OPERATIONS.values() for each in operation.content["responses"].values()]
    assert {name for response in responses for name in response.get("headers", {})} == {"Retry-After"}


def test_the_client_reads_every_field_of_an_error() -> None:
    """The fields that the contract has for errors are those that an exception of the client shows."""
    assert DOCUMENT["components"]["schemas"]["Error"]["properties"].keys() == {"detail", "error_type"}
