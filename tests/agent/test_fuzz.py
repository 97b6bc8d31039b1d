"""What the contract allows and what it forbids, made up by schemathesis and sent to a running agent."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.agent.helpers import DOCUMENT, client_of, create, write_plugin
from tests.threaded_agent import ThreadedAgent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]
CASES = [
    (mode, path, method)
    for mode in ("positive", "negative")
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method != "parameters" and (mode, path) != ("negative", "/health/")  # where no text of a header is invalid
]
CONTRADICTED = [
    "positive_data_acceptance",  # a valid body may name a plugin, a release or an action that there is not
    "not_a_server_error",  # an action may be made to fail, which is 500 by the contract; other 500s are told apart here
]
PHASES = [Phase.explicit, Phase.generate]  # no shrinking: it takes longer than all the rest
BUDGET = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, offline: Path) -> Iterator[ThreadedAgent]:
    """An agent with the release of the contract's examples, whose installer can fetch next to nothing."""
    del offline
    registry = tmp_path_factory.mktemp("registry")
    source = {"plugin.py": "def run(params): return params"}
    write_plugin(registry, "ocr_plugin", source, {"process_document": "plugin:run"}, version="2.0.0")
    with ThreadedAgent(registry, debug_roots=[registry]) as agent, client_of(agent) as http:
        create(http, "ocr_plugin", "2.0.0")
        yield agent


@pytest.mark.parametrize(("mode", "path", "method"), CASES)
def test_made_up_requests(fuzzed: ThreadedAgent, mode: str, path: str, method: str) -> None:
    """Whatever a request holds, valid or not, its answer is one that the contract has, and no fault of the agent."""
    import schemathesis  # which takes long

    schemathesis.checks.load_all_checks()
    schema = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))  # which it fills in
    # The list takes any further parameter as a filter, which schemathesis holds for invalid.
    further = ["negative_data_rejection"] if (path, method) == ("/plugin_releases/", "get") else []
    left_out: Any = schemathesis.checks.CHECKS.get_by_names([*CONTRADICTED, *further])
    headers = {"Authorization": fuzzed.token}

    @given(case=schema[path][method].as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    @settings(BUDGET, max_examples=400, phases=PHASES)
    def send(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=fuzzed.url, headers=headers)
        case.validate_response(response, headers=headers, excluded_checks=left_out)
        if response.status_code >= 500:
            assert response.json().get("error_type", "").startswith("action_"), response.text

    send()
