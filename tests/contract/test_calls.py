"""Both clients follow the contract: their requests and results are checked over a socket.

Each argument has a unique value, so a dropped or misplaced one is detected. Strings have capitals, surrounding spaces
and repeated parts, so any normalization is detected too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from synapse_agent_sdk import exceptions
from synapse_agent_sdk.runtime.errors import ERRORS

from tests.contract.conftest import DOCUMENT, operations, resolve, validator
from tests.wire.faults import reply, silence

if TYPE_CHECKING:
    from tests.contract.conftest import Operation
    from tests.wire.conftest import OpenClient, OpenServer
    from tests.wire.faults import Received

pytestmark = pytest.mark.contract

OPERATIONS = {operation.id: operation for operation in operations()}
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
# Each operation with every argument: the arguments, the expected query and the expected body.
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
# Each operation with its minimum arguments.
LEAST: dict[str, tuple[dict[str, Any], list[tuple[str, str]], Any]] = {
    **{name: FULL[name] for name in ("create_plugin_release", "get_plugin_release", "delete_plugin_release")},
    "list_plugin_releases": ({}, [], None),
    "run_plugin_release": ({"lookup": 7, "action": "train"}, [], {"action": "train"}),
    "run_debug_plugin_release": ({"action": "train"}, [], {"action": "train"}),
    "health_check": ({}, [], None),
}
# HTTP headers that a contract does not list.
HTTP_HEADERS = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length", "content-type"}


def parameters(operation: Operation, place: str) -> dict[str, dict[str, Any]]:
    """Return the schemas of an operation's parameters in one location, by name."""
    return {part["name"]: part["schema"] for part in operation.parameters() if part["in"] == place}


def check(request: Received, operation: Operation) -> None:
    """Validate a received request against its operation."""
    assert request.method == operation.method.upper()
    pattern = re.sub(r"\\\{[^}]*\\\}", "([^/]+)", re.escape(operation.path))
    match = re.fullmatch(pattern, request.path)
    assert match is not None, f"{request.path} is not {operation.path}"
    for value, schema in zip(match.groups(), parameters(operation, "path").values(), strict=True):
        validator(schema).validate(unquote(value))

    declared = parameters(operation, "query")
    for name, text in request.query:
        schema = declared.get(name, {"type": "string"})
        assert name in declared or "filters" in declared, f"the contract has no {name} in the query"
        validator(schema).validate(int(text) if schema["type"] == "integer" else text)

    declared = {name.lower(): schema for name, schema in parameters(operation, "header").items()}
    assert "authorization" in request.headers
    for name, text in request.headers.items():
        assert name in declared.keys() | HTTP_HEADERS | {"authorization"}, f"the contract has no header {name}"
        validator(declared.get(name, {"type": "string"})).validate(text)

    if "requestBody" in operation.content:
        media = resolve(operation.content["requestBody"])["content"][request.headers["content-type"]]
        validator(media["schema"]).validate(request.json)
    else:
        assert request.body == b""


def lacking(request: Received, operation: Operation) -> set[str]:
    """Return the parameters and body fields in the contract that a request lacks."""
    query = {name for name, schema in parameters(operation, "query").items() if schema["type"] != "object"}
    headers = {name.lower() for name in parameters(operation, "header")}
    fields: set[str] = set()
    if "requestBody" in operation.content:
        media = resolve(operation.content["requestBody"])["content"]["application/json"]
        fields = resolve(media["schema"])["properties"].keys() - request.json.keys()
    return (query - dict(request.query).keys()) | (headers - request.headers.keys()) | fields


def test_every_operation_is_called() -> None:
    """The tables of calls contain every operation of the contract."""
    assert FULL.keys() == LEAST.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", FULL)
def test_calls_are_what_the_contract_says(open_client: OpenClient, open_server: OpenServer, name: str) -> None:
    """Each call sends its arguments as the contract describes, and nothing else."""
    server = open_server(reply({"any": "value"}))
    client = open_client(server.url, user_token="user", tenant="tenant")
    for arguments, query, body in (LEAST[name], FULL[name]):
        value = getattr(client, name)(**arguments)
        assert getattr(client.with_raw_response, name)(**arguments).parse() == value
        assert len(server.requests) == 2
        for request in server.requests:
            check(request, OPERATIONS[name])
            assert request.query == query
            assert (request.json if request.body else None) == body
            if "lookup" in arguments:
                assert unquote(request.path.split("/")[2]) == str(arguments["lookup"])
            if "idempotency_key" in arguments:
                assert request.headers["idempotency-key"] == arguments["idempotency_key"]
            assert request.headers["synapse-user"] == "Token user"
            assert request.headers["synapse-tenant"] == "Token tenant"
        server.requests.clear()
    assert lacking(request, OPERATIONS[name]) == set()


def test_composed_calls_are_what_the_contract_says(open_client: OpenClient, open_server: OpenServer) -> None:
    """The release context and pruning send requests that follow the contract."""
    release = {"id": 7, "plugin": "ocr", "version": "2.0.0", "created": "2020-01-01T00:00:00Z"}
    page = {"count": 1, "next": None, "previous": None, "results": [release]}
    server = open_server(reply(release, 201), reply("done"), reply(None, 204), reply(page), reply(None, 204))
    client = open_client(server.url, user_token="user", tenant="tenant")
    with client.plugin_release("ocr", "2.0.0", delete=True) as cached:
        assert cached.run(**RUN, idempotency_key=KEY) == "done"
    assert client.prune_plugin_releases(older_than="30d", plugin="ocr") == [release]
    created, run, deleted, listed, pruned = server.requests
    check(created, OPERATIONS["create_plugin_release"])
    check(run, OPERATIONS["run_plugin_release"])
    check(listed, OPERATIONS["list_plugin_releases"])
    for request in (deleted, pruned):
        check(request, OPERATIONS["delete_plugin_release"])
    assert (run.json, run.headers["idempotency-key"]) == (RUN, KEY)
    assert run.lookup == deleted.lookup == "7"


def test_the_timeout_of_a_run_is_its_own(open_client: OpenClient, open_server: OpenServer) -> None:
    """`run` of a release context accepts a timeout."""
    server = open_server(reply({"id": 7, "plugin": "ocr", "version": "1"}, 201), silence)
    with open_client(server.url).plugin_release("ocr", "1") as cached, pytest.raises(exceptions.ClientTimeoutError):
        cached.run("train", timeout=0.05)


def test_examples_come_back_unchanged(open_client: OpenClient, open_server: OpenServer) -> None:
    """The client returns each example of a successful response unchanged."""
    server = open_server()
    client = open_client(server.url)
    for name, operation in OPERATIONS.items():
        for status, response in operation.content["responses"].items():
            for media in response.get("content", {}).values():
                for example, part in media["examples"].items():
                    value = resolve(part)["value"]
                    server.answers[:] = [reply(value, int(status))]
                    assert (example, getattr(client, name)(**LEAST[name][0])) == (example, value)


def failures() -> dict[tuple[int, str], tuple[str, Any]]:
    """Return every error example with an operation that has it, by status and name."""
    return {
        (int(status), example): (name, part["value"])
        for name, operation in OPERATIONS.items()
        for status, response in operation.content["responses"].items()
        if "$ref" in response and status != "default"
        for example, part in resolve(response)["content"]["application/json"]["examples"].items()
    }


def test_errors_come_back_as_what_they_are(open_client: OpenClient, open_server: OpenServer) -> None:
    """Each example of an error response is raised as its class, with its detail unchanged."""
    server = open_server()
    client = open_client(server.url, retry=None)
    for (status, example), (name, value) in failures().items():
        server.answers[:] = [reply(value, status)]
        with pytest.raises(ERRORS.get(status, exceptions.HTTPError)) as caught:
            getattr(client, name)(**LEAST[name][0])
        error = caught.value
        found = (example, error.status_code, error.detail, error.error_type)
        assert found == (example, status, value["detail"], value.get("error_type"))


def test_the_client_reads_every_part_of_an_error() -> None:
    """Every documented error status has an error class, and the client reads every error field."""
    statuses = {status for operation in OPERATIONS.values() for status in operation.content["responses"]}
    plain = {int(status) for status in statuses if status[0] == "4"} - ERRORS.keys()
    assert plain == {413, 415}
    responses = [resolve(each) for operation in OPERATIONS.values() for each in operation.content["responses"].values()]
    assert {name for response in responses for name in response.get("headers", {})} == {"Retry-After"}
    assert DOCUMENT["components"]["schemas"]["Error"]["properties"].keys() == {"detail", "error_type"}
