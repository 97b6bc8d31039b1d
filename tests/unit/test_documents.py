"""The pages that are made from sources: complete, and refused where a public name would be missing."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from synapse_sdk import exceptions
from synapse_sdk.clients import agent

from tools import contract_page, documents, reference

DOCUMENT: dict[str, Any] = yaml.safe_load(contract_page.CONTRACT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The pages of the reference."""
    return reference.Reference(contract_page.Contract().operations()).pages()


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings."""
    return set(re.findall(r"^#+ .* \{ #(\S+) \}$", text, re.MULTILINE))


def test_the_reference_has_every_method(pages: dict[str, str]) -> None:
    """Each public method and property of both clients has a heading of its own."""
    for page, cls in (("client", agent.AgentClient), ("async-client", agent.AsyncAgentClient)):
        named = {f"{cls.__name__}.{name}" for name in dir(cls) if not name.startswith("_")}
        assert named - anchors(pages[f"reference/{page}.md"]) == set()


def test_the_reference_has_every_argument(pages: dict[str, str]) -> None:
    """An argument stands in the signature and in the list below it."""
    page = pages["reference/client.md"]
    run = page.partition("{ #AgentClient.run_plugin_release }")[2].partition("\n## ")[0]
    assert "    idempotency_key: str | UUID | None = None,\n" in run
    assert "- `idempotency_key`: A UUID" in run


def test_the_reference_has_every_error(pages: dict[str, str]) -> None:
    """Each error has a heading of its own, the base first."""
    found = re.findall(r"\{ #(\w+) \}", pages["reference/errors.md"])
    assert set(exceptions.__all__) - set(found) == set()
    assert found[0] == "ClientError"


def test_names_in_docstrings_are_links(pages: dict[str, str]) -> None:
    """The name of an error, of a method and of an operation leads to where it is described."""
    page = pages["reference/client.md"]
    assert "[`NotFoundError`](errors.md#NotFoundError)" in page
    assert "[`get_plugin_release`](../contract.md#get_plugin_release)" in page
    assert "[`AgentClient.get_plugin_release`](client.md#AgentClient.get_plugin_release)" in "".join(pages.values())


def test_a_public_name_without_a_page_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a public module exports and no page has is named, with the place to add it."""
    rest = {page: about for page, about in reference.PAGES.items() if page != "reference/settings.md"}
    monkeypatch.setattr(reference, "PAGES", rest)
    with pytest.raises(LookupError, match=r"ReleaseLookup.*RetryPolicy: add it to PAGES in reference\.py"):
        reference.Reference()


def test_the_contract_has_every_operation() -> None:
    """Each operation has its heading, method and path, and each of its parameters and statuses."""
    page = contract_page.Contract().page()
    for path, item in DOCUMENT["paths"].items():
        for method in item.keys() - {"parameters"}:
            section = page.partition(f"{{ #{item[method]['operationId']} }}")[2].partition("\n### ")[0]
            assert f"```http\n{method.upper()} {path}\n```" in section
            assert [status for status in item[method]["responses"] if f"\n| {status} | " not in section] == []
    assert page.count("| `Idempotency-Key` | header, string |") == 2


def test_the_contract_has_every_field() -> None:
    """Each schema has its heading, and each of its fields, those that are required marked as such."""
    page = contract_page.Contract().page()
    for name, schema in DOCUMENT["components"]["schemas"].items():
        section = page.partition(f"### {name} {{ #{name} }}")[2].partition("\n### ")[0]
        for field in schema.get("properties", {}):
            mark = " (required)" if field in schema.get("required", []) else ""
            assert f"\n| `{field}`{mark} | " in section


def test_the_list_of_decisions_has_each() -> None:
    """Each decision is in the list, by its title."""
    page = documents.decisions()
    assert page.count("\n- [") == len(list((documents.DOCUMENTS / "decisions").iterdir()))
    assert "- [0001: " in page
