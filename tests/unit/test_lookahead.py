"""Pages that are asked for before it is their turn, against a model of an agent and in any order of its answers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import flow, lookahead, operations, pagination
from synapse_sdk.clients.agent.attempt import ATTEMPT
from synapse_sdk.clients.agent.pagination import Walk
from synapse_sdk.clients.agent.retries import NEVER, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

BASE = "http://agent:8600"
CALM = RetryPolicy(attempts=10, backoff=0.0)


class Agent:
    """A list of numbers in pages; it remembers which were asked for.

    Args:
        count: How many numbers there are.
        size: How many a page has.
        events: By the number of the request, the status of an answer, or 0 for a broken connection.
        width: How many pages to ask for at once.
        policy: What is sent again.
        choose: Says whose answer of several comes next.
    """

    def __init__(
        self,
        count: int,
        size: int = 1,
        events: dict[int, int] | None = None,
        width: int = 4,
        *,
        policy: RetryPolicy = CALM,
        choose: Callable[[int], int] = lambda _: 0,
    ) -> None:
        self.releases = list(range(count))
        self.size, self.events, self.policy, self.choose = size, events or {}, policy, choose
        self.asked: list[int] = []
        self.widths: list[int] = []
        self.under_way = 0
        self.limit = 10**6
        self.bad = 0
        self.link = "?page={}&page_size=100"
        ahead = lookahead.LookAhead(self._fetch, width, lazily=False)
        self.walk = Walk(operations.list_plugin_releases(page_size=100), ahead, BASE)

    def _fetch(self, call: operations.Call[Any]) -> flow.Flow[httpx.Response]:
        request = httpx.Request("GET", BASE + call.url, extensions={"timeout": {}})
        return (yield from flow.exchange(call, request, self.policy, None))

    def begin(self, request: httpx.Request) -> Callable[[], httpx.Response]:
        """Take a request; what is returned gives the answer."""
        event = self.events.get(len(self.asked), 200)
        number = int(request.url.params.get("page", 1))
        self.asked.append(number)
        self.under_way += 1
        self.widths.append(self.under_way)
        status = 429 if self.under_way > self.limit else 500 if number == self.bad else event
        request.extensions[ATTEMPT].sent_at -= 1000  # a slow agent, so that asking ahead is a gain
        start, stop = self.size * (number - 1), self.size * number
        following = self.link.format(number + 1) if stop < len(self.releases) else None
        page = {"count": len(self.releases), "next": following, "results": self.releases[start:stop]}

        def finish() -> httpx.Response:
            self.under_way -= 1
            if status == 0:
                raise httpx.ReadError("broken")
            return httpx.Response(status, json=page if status == 200 else {"detail": "no"}, request=request)

        return finish

    def all(self) -> list[int]:
        """The list as it is read."""
        steps = pagination.collect(self.walk)
        try:
            step = next(steps)
            while True:
                if isinstance(step, flow.Together):
                    self._together(step)
                step = answered(steps, self.begin(step)) if isinstance(step, httpx.Request) else next(steps)
        except StopIteration as end:
            releases: list[int] = end.value[0]
            return releases

    def _together(self, step: flow.Together) -> None:
        busy: list[tuple[Generator[Any, Any, Any], Callable[[], httpx.Response]]] = []
        while True:
            while len(busy) < step.width and (steps := next(step.flows, None)) is not None:
                first = next(steps)
                assert isinstance(first, httpx.Request)
                busy.append((steps, self.begin(first)))
            if not busy:
                return
            steps, finish = busy.pop(self.choose(len(busy)))
            with contextlib.suppress(StopIteration):
                busy.append((steps, self.begin(answered(steps, finish))))


def answered(steps: Generator[Any, Any, Any], finish: Callable[[], httpx.Response]) -> Any:
    """The next step of a flow that is given an answer."""
    try:
        response = finish()
    except flow.FAILURES as failure:
        return steps.throw(failure)
    return steps.send(response)


COUNTS, SIZES, WIDTHS = st.integers(0, 60), st.integers(1, 4), st.integers(1, 9)
FAULTS = st.dictionaries(st.integers(0, 40), st.sampled_from([0, 429, 503]), max_size=8)
CHOOSERS = st.lists(st.integers(0, 1000), max_size=60).map(
    lambda choices: lambda count: (choices.pop() if choices else 0) % count
)


@settings(max_examples=40)
@given(COUNTS, SIZES, WIDTHS, FAULTS, CHOOSERS)
def test_a_list_is_complete_and_in_order(count: int, size: int, width: int, faults: Any, choose: Any) -> None:
    """A list comes whole and in order in any width and order of answers, whatever fails for a time."""
    agent = Agent(count, size, faults, width, choose=choose)
    assert agent.all() == list(range(count))
    assert max(agent.widths) <= width
    if not faults:
        assert sorted(agent.asked) == list(range(1, max(1, -(-count // size)) + 1))


def test_a_page_that_fails_is_the_page_named() -> None:
    """A page that fails for good ends the list with its number, all that came before it, and no second request."""
    agent = Agent(20, 2)
    agent.bad = 7
    with pytest.raises(exceptions.ServerError, match=r"^page 7 of the list: ") as caught:
        agent.all()
    assert (caught.value.page, caught.value.results, agent.asked.count(7)) == (7, list(range(12)), 1)


def test_an_agent_that_lets_in_one_at_a_time_is_listed() -> None:
    """An agent that answers all but one request with 429 gives its whole list, with retries and without."""
    for policy in (CALM, NEVER):
        agent = Agent(100, 2, width=16, policy=policy)
        agent.limit = 1
        assert agent.all() == list(range(100))
        assert len(agent.asked) <= 50 + 16 + 8 + 4 + 2


def test_a_failure_narrows() -> None:
    """Half as many pages are asked for at once after a 429, and after a 503 until all of these came."""
    for status, later in ((429, 8), (503, 16)):
        agent = Agent(1000, 1, {10: status}, 16)
        assert agent.all() == list(range(1000))
        assert (max(agent.widths[40:80]), max(agent.widths[200:])) == (8, later)


def test_only_a_slow_agent_with_much_to_gain_is_asked_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a quick agent, of a short list, and of links with more than a number are asked for one by one."""
    for seconds, name, link in (
        (10**6, "SLOW_SECONDS", "?page={}"),
        (10**6, "GAIN_SECONDS", "?page={}"),
        (0, "SLOW_SECONDS", "?page={}&snapshot=5"),
        (0, "SLOW_SECONDS", "?page=0{}"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(lookahead, name, seconds)
            agent = Agent(20, 2)
            agent.link = link
            assert agent.all() == list(range(20))
            assert max(agent.widths) == 1, (name, link)
