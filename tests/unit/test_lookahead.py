"""Pages that are asked for before it is their turn, against a model of an agent and in any order of its answers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import flow, operations, pagination
from synapse_sdk.clients.agent.attempt import ATTEMPT
from synapse_sdk.clients.agent.lookahead import LookAhead
from synapse_sdk.clients.agent.pagination import Walk
from synapse_sdk.clients.agent.retries import NEVER, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from synapse_sdk.clients.agent.operations import Call

BASE = "http://agent:8600"
CALM = RetryPolicy(backoff=0.0)


class Agent:
    """A list of numbers in pages, which may change or fail at a request; it remembers what was asked for.

    Args:
        releases: The numbers.
        size: How many a page has.
        events: By the number of the request before which they happen: an answer of that status, a broken connection
            (0), or a change of this agent.
        seconds: How long an answer seems to take.
    """

    def __init__(
        self,
        releases: int,
        size: int,
        events: dict[int, int | Callable[[Agent], None]] | None = None,
        seconds: float = 1.0,
    ) -> None:
        self.releases = list(range(releases))
        self.size = size
        self.events = events or {}
        self.seconds = seconds
        self.asked: list[int] = []
        self.under_way = 0
        self.most = 0
        self.limit = 10**6
        self.link = "?page={}&page_size=100"
        self.retry_after = 0

    def begin(self, request: httpx.Request) -> Callable[[], httpx.Response]:
        """Take a request; what is returned gives the answer."""
        event = self.events.get(len(self.asked))
        number = int(request.url.params.get("page", 1))
        self.asked.append(number)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        status = 429 if self.under_way > self.limit else event if isinstance(event, int) else 200
        if callable(event):
            event(self)
        request.extensions[ATTEMPT].sent_at -= self.seconds
        start = self.size * (number - 1)
        stop = start + self.size
        following = self.link.format(number + 1) if stop < len(self.releases) else None
        page = {"count": len(self.releases), "next": following, "results": self.releases[start:stop]}

        def finish() -> httpx.Response:
            self.under_way -= 1
            if status == 0:
                raise httpx.ReadError("broken")
            headers = {"Retry-After": str(self.retry_after)} if status == 429 else {}
            return httpx.Response(
                status, json=page if status == 200 else {"detail": "no"}, headers=headers, request=request
            )

        return finish


class Reader:
    """Carries out a walk over an agent's list; `choose` says whose answer of several comes next."""

    def __init__(
        self,
        agent: Agent,
        width: int = 4,
        *,
        lazily: bool = False,
        policy: RetryPolicy = CALM,
        choose: Callable[[int], int] = lambda _: 0,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.agent = agent
        self.policy = policy
        self.choose = choose
        self.waits: list[float] = []
        ahead = LookAhead(self._fetch, width, lazily=lazily)
        self.walk = Walk(operations.list_plugin_releases(params, page_size=100), ahead, BASE)

    def _fetch(self, call: Call[Any]) -> flow.Flow[httpx.Response]:
        request = httpx.Request("GET", BASE + call.url, params=call.params, extensions={"timeout": {}})
        if call.params is None:
            request.url = httpx.URL(BASE + call.url)
        return (yield from flow.exchange(call, request, self.policy, None))

    def run(self, steps: flow.Flow[Any]) -> Any:
        """Carry out a flow, and return its value."""
        try:
            step = next(steps)
            while True:
                if isinstance(step, flow.Together):
                    self._together(step)
                    step = next(steps)
                elif isinstance(step, httpx.Request):
                    step = answered(steps, self.agent.begin(step))
                else:
                    self.waits.append(step)
                    step = next(steps)
        except StopIteration as end:
            return end.value

    def _together(self, step: flow.Together) -> None:
        busy: list[tuple[Generator[Any, Any, Any], Callable[[], httpx.Response]]] = []
        while True:
            while len(busy) < step.width and (steps := next(step.flows, None)) is not None:
                busy.append((steps, self.agent.begin(request_of(steps))))
            if not busy:
                return
            steps, finish = busy.pop(self.choose(len(busy)))
            with contextlib.suppress(StopIteration):
                busy.append((steps, self.agent.begin(answered(steps, finish))))

    def all(self) -> tuple[list[int], int]:
        """The whole list."""
        releases, count = self.run(pagination.collect(self.walk))
        return releases, count


def request_of(steps: flow.Flow[None]) -> httpx.Request:
    """The first request of a flow."""
    step = next(steps)
    assert isinstance(step, httpx.Request)
    return step


def answered(steps: Generator[Any, Any, Any], finish: Callable[[], httpx.Response]) -> Any:
    """The next step of a flow that is given an answer."""
    try:
        response = finish()
    except flow.FAILURES as failure:
        return steps.throw(failure)
    return steps.send(response)


CHOICES = st.lists(st.integers(0, 1000), max_size=60)


def chooser(choices: list[int]) -> Callable[[int], int]:
    """Says whose answer comes next, as hypothesis drew it."""
    numbers = iter(choices)
    return lambda count: next(numbers, 0) % count


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 9), st.booleans(), CHOICES)
def test_a_list_is_complete_and_in_order(count: int, size: int, width: int, lazily: bool, choices: list[int]) -> None:
    """A list of any length comes whole and in order in any width and order of answers, each page asked for once."""
    reader = Reader(Agent(count, size), width, lazily=lazily, choose=chooser(choices))
    assert reader.all() == (list(range(count)), count)
    assert sorted(reader.agent.asked) == list(range(1, max(1, -(-count // size)) + 1))
    assert reader.agent.most <= width


FAULTS = st.dictionaries(st.integers(0, 40), st.sampled_from([0, 429, 503]), max_size=8)


@given(st.integers(1, 60), st.integers(1, 4), st.integers(1, 9), FAULTS, CHOICES)
def test_faults_that_pass_cost_nothing(
    count: int, size: int, width: int, faults: dict[int, Any], choices: list[int]
) -> None:
    """Whatever fails for a time, the list is complete and in order."""
    policy = RetryPolicy(attempts=10, backoff=0.0)
    reader = Reader(Agent(count, size, faults), width, choose=chooser(choices), policy=policy)
    assert reader.all() == (list(range(count)), count)


@given(st.integers(2, 60), st.integers(1, 4), st.integers(2, 9), st.data())
def test_a_page_that_fails_is_the_page_named(count: int, size: int, width: int, data: st.DataObject) -> None:
    """A page that fails for good ends the list with its number, and all that came before it."""
    pages = -(-count // size)
    bad = data.draw(st.integers(1, pages))
    agent = Agent(count, size)
    begin = agent.begin

    def fail(request: httpx.Request) -> Callable[[], httpx.Response]:
        agent.events = {len(agent.asked): 500} if int(request.url.params.get("page", 1)) == bad else {}
        return begin(request)

    agent.begin = fail  # type: ignore[method-assign]  # the model's, not ours
    with pytest.raises(exceptions.ServerError, match=f"^page {bad} of the list: ") as caught:
        Reader(agent, width, choose=chooser(data.draw(CHOICES))).all()
    assert (caught.value.page, caught.value.results) == (bad, list(range(size * (bad - 1))))
    assert agent.asked.count(bad) == 1


def grow(agent: Agent) -> None:
    """A release comes at the end."""
    agent.releases.append(agent.releases[-1] + 1 if agent.releases else 0)


def shrink(agent: Agent) -> None:
    """The first release goes, so that all others move."""
    del agent.releases[:1]


@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sets(st.integers(0, 40), max_size=4),
    st.booleans(),
    CHOICES,
)
def test_a_list_that_grows_stays_whole(
    count: int, size: int, width: int, times: set[int], lazily: bool, choices: list[int]
) -> None:
    """What comes to the end of a list while it is read neither doubles nor loses a release."""
    agent = Agent(count, size, dict.fromkeys(times, grow))
    found, total = Reader(agent, width, lazily=lazily, choose=chooser(choices)).all()
    assert found == list(range(len(found)))
    assert len(found) >= count
    assert total <= len(agent.releases)


@given(
    st.integers(1, 60),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sets(st.integers(0, 40), max_size=4),
    st.booleans(),
    CHOICES,
)
def test_a_list_that_shrinks_doubles_nothing(
    count: int, size: int, width: int, times: set[int], lazily: bool, choices: list[int]
) -> None:
    """What goes from a list while it is read doubles no release, and what is read is in order."""
    agent = Agent(count, size, dict.fromkeys(times, shrink))
    try:
        found, _ = Reader(agent, width, lazily=lazily, choose=chooser(choices)).all()
    except exceptions.PaginationError as error:
        found = error.results or []
    assert found == sorted(set(found))


def test_what_came_ahead_of_a_change_is_not_read_after_it() -> None:
    """Where a page that had to be asked for again shows that the list has changed, the pages after it are new too."""
    agent = Agent(30, 1, {2: 503, 6: shrink})
    found, _ = Reader(agent).all()
    assert agent.asked[:7] == [1, 2, 3, 4, 5, 6, 3]
    assert found == [0, 1, *range(3, 30)]


@settings(max_examples=50)
@given(st.integers(20, 60), st.integers(1, 5), st.integers(1, 5), st.integers(2, 9), st.integers(1, 30), CHOICES)
def test_a_page_size_that_changes_loses_nothing(
    count: int, before: int, after: int, width: int, when: int, choices: list[int]
) -> None:
    """Where an agent changes the size of its pages, what was asked for ahead is not mixed with what follows."""

    def change(agent: Agent) -> None:
        agent.size = after

    follower = Agent(count, before, {when: change})
    expected = outcome(Reader(follower, 1))
    agent = Agent(count, before, {when: change})
    found = outcome(Reader(agent, width, choose=chooser(choices)))
    if after <= before and isinstance(expected, list):
        assert isinstance(found, list)
        assert set(found) == set(range(count))


def outcome(reader: Reader) -> Any:
    """The list, or the error that it ends in."""
    try:
        return reader.all()[0]
    except exceptions.PaginationError as error:
        return error


def test_no_page_is_asked_for_ahead_of_a_quick_agent() -> None:
    """Where the first page comes in less than 4 ms, links are followed one by one."""
    reader = Reader(Agent(100, 2, seconds=0.001))
    assert reader.all() == (list(range(100)), 100)
    assert reader.agent.most == 1
    assert reader.agent.asked == list(range(1, 51))


def test_no_page_is_asked_for_ahead_where_little_is_to_gain() -> None:
    """Where a few pages are left that come quickly enough, links are followed one by one."""
    few, many = Reader(Agent(10, 2, seconds=0.01)), Reader(Agent(100, 2, seconds=0.01))
    assert len(few.all()[0]) == 10
    assert len(many.all()[0]) == 100
    assert (few.agent.most, many.agent.most) == (1, 4)


def test_a_width_of_one_switches_it_off() -> None:
    """With a width of one, links are followed one by one."""
    reader = Reader(Agent(100, 2), 1)
    assert len(reader.all()[0]) == 100
    assert reader.agent.most == 1


@pytest.mark.parametrize(
    "link",
    [
        "?cursor=c{}",
        "?page=2&cursor=c{}",
        "?offset={}",
        "?p={}",
        "?page={0}&page={0}",
        "?page={}&snapshot=5",
        "?page=0{}",
    ],
)
def test_links_that_are_no_numbers_are_followed(link: str) -> None:
    """Links with anything beside the page's number and what was asked for are followed one by one."""
    agent = Agent(20, 2)
    agent.link = link
    reader = Reader(agent)
    begin = agent.begin

    def by_link(request: httpx.Request) -> Callable[[], httpx.Response]:
        number = len(agent.asked) + 1
        request.url = request.url.copy_with(query=f"page={number}".encode())
        return begin(request)

    agent.begin = by_link  # type: ignore[method-assign]  # the model's, not ours
    assert reader.all() == (list(range(20)), 20)
    assert agent.most == 1


def test_links_that_come_to_lead_elsewhere_are_followed() -> None:
    """Where the links stop to be mere numbers, they are followed, and no page is asked for ahead any more."""

    def move(agent: Agent) -> None:
        agent.link = "?page_size=100&page={}"

    reader = Reader(Agent(400, 1, {20: move}))
    assert reader.all() == (list(range(400)), 400)
    assert len(reader.agent.asked) < 400 + 8 * 4


def test_an_agent_that_lets_in_one_at_a_time_is_listed() -> None:
    """An agent that answers all but one request with 429 gives its whole list, soon without pages ahead."""
    agent = Agent(100, 2)
    agent.limit = 1
    reader = Reader(agent, 16)
    assert reader.all() == (list(range(100)), 100)
    assert len(agent.asked) <= 50 + 16 + 8 + 4 + 2


def test_an_agent_that_lets_in_one_at_a_time_is_listed_without_retries() -> None:
    """Where nothing is sent again, a 429 that only pages ahead were given does not end the list."""
    agent = Agent(100, 2)
    agent.limit = 1
    assert Reader(agent, 16, policy=NEVER).all() == (list(range(100)), 100)


def test_a_refusal_narrows() -> None:
    """After a 429 half as many pages are asked for at once, and never again more."""
    agent = Agent(2000, 1, {10: 429})
    reader = Reader(agent, 16)
    assert len(reader.all()[0]) == 2000
    assert agent.most == 16

    late = Agent(2000, 1, {10: 429})
    begin = late.begin
    widths: list[int] = []

    def watch(request: httpx.Request) -> Callable[[], httpx.Response]:
        finish = begin(request)
        widths.append(late.under_way)
        return finish

    late.begin = watch  # type: ignore[method-assign]  # the model's, not ours
    Reader(late, 16).all()
    assert max(widths[40:]) == 8


def test_another_failure_narrows_for_a_while() -> None:
    """After a 503 half as many pages are asked for at once, until all of these came."""
    agent = Agent(2000, 1, {10: 503})
    widths: list[int] = []
    begin = agent.begin

    def watch(request: httpx.Request) -> Callable[[], httpx.Response]:
        finish = begin(request)
        widths.append(agent.under_way)
        return finish

    agent.begin = watch  # type: ignore[method-assign]  # the model's, not ours
    Reader(agent, 16).all()
    assert max(widths[40:80]) == 8
    assert max(widths[200:]) == 16


def test_what_an_agent_asks_to_wait_is_waited() -> None:
    """A page whose request ahead was answered with Retry-After is asked for after that time."""
    agent = Agent(100, 2, {10: 429})
    agent.retry_after = 7
    reader = Reader(agent, 4)
    assert reader.all() == (list(range(100)), 100)
    assert [round(wait) for wait in reader.waits] == [7]


def test_no_more_is_asked_for_ahead_than_twice_what_was_read() -> None:
    """A caller who may stop anywhere has at the most two more pages asked for than three times those that were read."""
    reader = Reader(Agent(1000, 1), 16, lazily=True)
    for number in range(1, 40):
        reader.run(reader.walk.step())
        assert len(reader.agent.asked) <= min(3 * number, number + 16)


def test_pages_ahead_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pages are asked for in smaller numbers at once."""
    monkeypatch.setattr("synapse_sdk.clients.agent.lookahead.MOST_BYTES", 1000)
    reader = Reader(Agent(1000, 100), 16)  # a page has some 500 bytes
    assert len(reader.all()[0]) == 1000
    assert reader.agent.most <= 2


def test_a_step_that_failed_can_be_taken_again() -> None:
    """After a page that failed the next step asks for the same page, and the list stays whole."""
    reader = Reader(Agent(20, 2, {3: 500}))
    found: list[int] = []
    failures = 0
    while reader.walk.call is not None:
        try:
            found += reader.run(reader.walk.step())["results"]
        except exceptions.ServerError:
            failures += 1
    assert (found, failures) == (list(range(20)), 1)


def test_two_steps_at_once_are_refused() -> None:
    """A list that is read by two at once says so, in place of a page that comes twice."""
    walk = Reader(Agent(20, 2)).walk
    first = walk.step()
    next(first)
    with pytest.raises(RuntimeError, match="read already") as caught:
        next(walk.step())
    advice = "This list is being read already: give each thread or task an iterator of its own"
    assert str(caught.value) == advice
    first.close()
    assert next(walk.step())
