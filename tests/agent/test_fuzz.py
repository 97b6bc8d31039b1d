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

    from schemathesis import Case

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
BUDGET = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # no shrinking: it takes longer than all the rest
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def schema() -> Any:
    """The contract as schemathesis has it, which takes long to import."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: make setup installs it")
    from schemathesis.checks import load_all_checks

    load_all_checks()
    return schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))  # which it fills in


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreadedAgent]:
    """An agent with the release of the contract's examples, whose installer can fetch nothing."""
    registry = tmp_path_factory.mktemp("registry")
    source = {"plugin.py": "def run(params): return params"}
    write_plugin(registry, "ocr_plugin", source, {"process_document": "plugin:run"}, version="2.0.0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_NO_INDEX", "1")
        patch.setenv("UV_FIND_LINKS", str(tmp_path_factory.mktemp("no_wheels")))
        with ThreadedAgent(registry, debug_roots=[registry]) as agent:
            with client_of(agent) as http:
                create(http, "ocr_plugin", "2.0.0")
            yield agent


def check(response: Any, case: Case[Any], agent: ThreadedAgent, *left_out: str) -> None:
    """Hold an answer against the contract, but for the checks that are left out."""
    from schemathesis.checks import CHECKS

    excluded: Any = CHECKS.get_by_names([*CONTRADICTED, *left_out])
    case.validate_response(response, headers={"Authorization": agent.token}, excluded_checks=excluded)


@pytest.mark.parametrize(("mode", "path", "method"), CASES)
def test_made_up_requests(schema: Any, fuzzed: ThreadedAgent, mode: str, path: str, method: str) -> None:
    """Whatever a request holds, valid or not, its answer is one that the contract has, and no fault of the agent."""
    from schemathesis import GenerationMode

    # The list takes any further parameter as a filter, which schemathesis holds for invalid.
    left_out = ["negative_data_rejection"] if (path, method) == ("/plugin_releases/", "get") else []

    @given(case=schema[path][method].as_strategy(generation_mode=GenerationMode(mode)))
    @settings(BUDGET, max_examples=400)
    def send(case: Case[Any]) -> None:
        response = case.call(base_url=fuzzed.url, headers={"Authorization": fuzzed.token})
        check(response, case, fuzzed, *left_out)
        if response.status_code >= 500:
            assert response.json().get("error_type", "").startswith("action_"), response.text

    send()


def test_made_up_sequences(schema: Any, fuzzed: ThreadedAgent) -> None:
    """Releases that are created, got, run and deleted along the contract's links behave as it says."""
    base = schema.as_state_machine()
    answered: set[tuple[str, int]] = set()

    class Machine(base):  # type: ignore[misc, valid-type]  # it is made when this runs
        """Calls along the links, all to the one agent."""

        def setup(self) -> None:
            """Begin each sequence with an agent that has nothing, or its answers would hang on the ones before."""
            with client_of(fuzzed) as http:
                http.delete("/plugin_releases/ocr_plugin@2.0.0")

        def before_call(self, case: Case[Any]) -> None:
            """Name a plugin and an action that there are, so that there is something to go on with."""
            if isinstance(case.body, dict):
                known = {"plugin": "ocr_plugin", "version": "2.0.0", "action": "process_document"}
                case.body = {name: known.get(name, value) for name, value in case.body.items()}
                case.body.pop("requirements", None)  # none that is made up can be installed

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, object]:
            """Where to, and with which token."""
            del case
            return {"base_url": fuzzed.url, "headers": {"Authorization": fuzzed.token}}

        def validate_response(self, response: Any, case: Case[Any], *_: object, **__: object) -> None:
            """Hold the answer against the contract, and against what went before."""
            check(response, case, fuzzed, "negative_data_rejection")
            answered.add((case.operation.definition.raw["operationId"], response.status_code))

    Machine.run(settings=settings(BUDGET, max_examples=20, stateful_step_count=8))
    assert {("create_plugin_release", 201), ("run_plugin_release", 200), ("delete_plugin_release", 204)} <= answered
