"""The pages that are made from sources: complete, and refused where a public name would be missing."""

from __future__ import annotations

import re

import pytest
import yaml
from synapse_sdk import exceptions
from synapse_sdk.clients import agent

from tools import contract_page, reference

pytestmark = pytest.mark.heavy  # of tools alone


def test_the_reference_has_every_method_and_error() -> None:
    """Each public method and property of both clients, and each error, has a heading of its own."""
    pages = reference.Reference(contract_page.Contract().operations()).pages()
    expected = {
        "client": {f"AgentClient.{name}" for name in dir(agent.AgentClient) if not name.startswith("_")},
        "async-client": {
            f"AsyncAgentClient.{name}" for name in dir(agent.AsyncAgentClient) if not name.startswith("_")
        },
        "errors": {*exceptions.__all__},
    }
    for page, names in expected.items():
        anchors = re.findall(r"^#+ .* \{ #(\S+) \}$", pages[f"reference/{page}.md"], re.MULTILINE)
        assert names - set(anchors) == set()
    assert "[`NotFoundError`](errors.md#NotFoundError)" in pages["reference/client.md"]


def test_a_public_name_without_a_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a public module exports and no page has is named, with the place to add it."""
    rest = {page: about for page, about in reference.PAGES.items() if page != "reference/settings.md"}
    monkeypatch.setattr(reference, "PAGES", rest)
    with pytest.raises(LookupError, match=r"ReleaseLookup.*RetryPolicy: add it to PAGES in reference\.py"):
        reference.Reference()


def test_the_contract_has_every_operation_and_field() -> None:
    """Each operation has its heading, path and statuses, and each schema its fields, those required marked as such."""
    document = yaml.safe_load(contract_page.CONTRACT.read_text(encoding="utf-8"))
    page = contract_page.Contract().page()
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            section = page.partition(f"{{ #{item[method]['operationId']} }}")[2].partition("\n### ")[0]
            assert f"```http\n{method.upper()} {path}\n```" in section
            assert [status for status in item[method]["responses"] if f"\n| {status} | " not in section] == []
    for name, schema in document["components"]["schemas"].items():
        section = page.partition(f"### {name} {{ #{name} }}")[2].partition("\n### ")[0]
        for field in schema.get("properties", {}):
            mark = " (required)" if field in schema.get("required", []) else ""
            assert f"\n| `{field}`{mark} | " in section
