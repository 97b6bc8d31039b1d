"""From one page to the next, and never in a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_sdk import exceptions
from synapse_sdk.clients.agent import operations, pagination
from synapse_sdk.clients.agent.attempt import ATTEMPT, Attempt
from synapse_sdk.clients.agent.lookahead import LookAhead
from synapse_sdk.clients.agent.pagination import Walk

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from synapse_sdk.clients.agent.operations import Call

BASE = "http://agent:8600/team"
JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=2)
LINKS = (
    st.none()
    | st.text()
    | st.sampled_from(["?page=2", "?page=3", f"{BASE}/x?page=4", "//evil/", "?", ""])
    | st.integers()
)


class Noted(LookAhead):
    """Fetches pages; it remembers by which numbers, and what it was told of them."""

    numbers: list[int]
    learnt: list[tuple[Any, Any, int, Any]]

    def page(self, call: Call[Any], number: int) -> Generator[Any, Any, Any]:
        """Get the page whose turn it is."""
        self.numbers.append(number)
        return super().page(call, number)

    def learn(self, first: Call[Any], following: Call[Any] | None, number: int, page: Any) -> None:
        """Take note of a page that was read."""
        self.learnt.append((first, following, number, page))
        super().learn(first, following, number, page)


class Book:
    """Pages that are read one after the other; it remembers what was asked for."""

    def __init__(self, *pages: Any, params: dict[str, Any] | None = None, base: str = BASE) -> None:
        self.asked: list[httpx.QueryParams] = []
        self._pages = list(pages)
        self.ahead = Noted(self._fetch, 1, lazily=False)
        self.ahead.numbers, self.ahead.learnt = [], []
        self.first = operations.list_plugin_releases(params, page_size=100)
        self.walk = Walk(self.first, self.ahead, base)

    def _fetch(self, call: Call[Any]) -> Generator[Any, Any, Any]:
        self.asked.append(httpx.QueryParams(call.params or call.url.partition("?")[2]))
        page = self._pages.pop(0) if len(self._pages) > 1 else self._pages[0]
        if isinstance(page, Exception):
            raise page
        request = httpx.Request("GET", BASE, extensions={ATTEMPT: Attempt()})
        return httpx.Response(200, json=page, request=request)
        yield  # a flow is a generator

    def all(self) -> tuple[list[Any], int]:
        """Everything, as `list_all` reads it."""
        releases, count = finish(pagination.collect(self.walk))
        return releases, count


def finish(flow: Generator[Any, Any, Any]) -> Any:
    """The value of a flow that sends nothing."""
    try:
        next(flow)
    except StopIteration as end:
        return end.value
    raise AssertionError


def page(results: Any, following: Any = None, count: Any = 4, previous: Any = None) -> dict[str, Any]:
    """A page of a list of four."""
    return {"count": count, "next": following, "previous": previous, "results": results}


@pytest.mark.parametrize(
    "link",
    [
        "?page=2&page_size=2",
        "/team/plugin_releases/?page=2&page_size=2",
        "/plugin_releases/?page=2&page_size=2",
        "http://agent:8600/team/plugin_releases/?page=2&page_size=2",
        "http://agent:8600/plugin_releases/?page=2&page_size=2#fragment",
    ],
)
def test_a_link_of_any_form_leads_on(link: str) -> None:
    """The next page is found by a link of any form, and the filters that it lacks are kept."""
    book = Book(page([1, 2], link), page([3, 4]), params={"plugin": "a", "tag": ["x", "y"]})
    assert book.all() == ([1, 2, 3, 4], 4)
    first, second = book.asked
    assert str(first) == "page_size=100&plugin=a&tag=x&tag=y"
    assert sorted(second.multi_items()) == [
        ("page", "2"),
        ("page_size", "2"),
        ("plugin", "a"),
        ("tag", "x"),
        ("tag", "y"),
    ]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_opaque_cursor_is_handed_back_as_it_is(cursor: str) -> None:
    """A cursor of any text comes back to the agent as it was sent."""
    book = Book(page([1, 2], "?" + urlencode({"cursor": cursor})), page([3, 4]))
    assert book.all() == ([1, 2, 3, 4], 4)
    assert book.asked[1]["cursor"] == cursor


def test_a_walk_may_start_anywhere() -> None:
    """A list that is read from its third page on is complete with fewer releases than there are."""
    book = Book(page([3], "?page=4", previous="?page=2"), page([4]), params={"page": 3})
    assert book.all() == ([3, 4], 4)
    assert "page" not in book.asked[1] or book.asked[1]["page"] == "4"


def test_without_a_count_the_releases_are_counted() -> None:
    """A list that does not say how long it is is as long as it turned out."""
    pages = [{"next": "?page=2", "results": [1, 2]}, {"results": [3]}]
    assert Book(*pages).all() == ([1, 2, 3], 3)


@pytest.mark.parametrize("link", [None, ""])
def test_a_list_ends_where_there_is_no_link(link: str | None) -> None:
    """No link, or an empty one, is the end."""
    assert Book(page([1, 2, 3, 4], link)).all() == ([1, 2, 3, 4], 4)


@pytest.mark.parametrize("results", [None, "text", {}, 5, {"0": 1}], ids=ascii)
def test_results_that_are_no_list_are_an_error(results: Any) -> None:
    """A page whose results are missing or no list is a PaginationError that names the page."""
    with pytest.raises(exceptions.PaginationError, match=r"^page 2 of the list: its results are no list") as caught:
        Book(page([1, 2], "?page=2"), page(results)).all()
    assert (caught.value.page, caught.value.results) == (2, [1, 2])


def test_a_short_list_is_an_error() -> None:
    """A list that ends before all releases came is a PaginationError, and no short list."""
    with pytest.raises(exceptions.PaginationError, match="only 3 of 4 releases came") as caught:
        Book(page([1, 2], "?page=2"), page([3])).all()
    assert (caught.value.page, caught.value.results) == (2, [1, 2])


@pytest.mark.parametrize("links", [["?page=2"], ["?page=2", "?page=3"], ["?page=2", "?page=3", "?page=4"]])
def test_a_circle_is_an_error(links: list[str]) -> None:
    """Links that lead back to a page already read are a PaginationError, and not followed for ever."""
    pages = [page([1], link, count=100) for link in links] * 3
    with pytest.raises(exceptions.PaginationError, match="back to a page already read"):
        Book(*pages).all()


@pytest.mark.parametrize("link", [5, True, ["?page=2"], {"href": "?page=2"}], ids=ascii)
def test_a_link_that_is_no_text_is_an_error(link: Any) -> None:
    """A link of another kind than text is a PaginationError."""
    with pytest.raises(exceptions.PaginationError, match="link to the next page is no text"):
        Book(page([1], link)).all()


@pytest.mark.parametrize("link", ["http://evil/?page=2", "//evil/", "https://agent:8600/team/", "http://[::1"])
def test_a_link_to_another_origin_is_refused(link: str) -> None:
    """A link that leads away from the agent is an UntrustedOriginError that names the page."""
    book = Book(page([1], link))
    with pytest.raises(exceptions.UntrustedOriginError, match=r"^page 1 of the list: ") as caught:
        book.all()
    assert (caught.value.page, len(book.asked)) == (1, 1)


def test_a_page_that_fails_carries_what_was_read() -> None:
    """Where a later page fails, the error is that page's own, with its number and the releases before it."""
    failure = exceptions.ServerError(500, "broken")
    with pytest.raises(exceptions.ServerError, match=r"^page 2 of the list: 500: broken") as caught:
        Book(page([1, 2], "?page=2"), failure).all()
    assert caught.value is failure
    assert (failure.page, failure.results, failure.detail) == (2, [1, 2], "broken")


@given(
    st.lists(
        st.fixed_dictionaries(
            {"count": JSON, "next": LINKS, "previous": JSON, "results": st.lists(st.integers(), max_size=5) | JSON}
        ),
        min_size=1,
        max_size=5,
    )
)
def test_pages_of_any_shape_end(pages: list[Any]) -> None:
    """Whatever the pages look like, the list is complete, or an error of the SDK says what is wrong."""
    book = Book(*pages)
    try:
        releases, count = book.all()
    except exceptions.ClientError as error:
        failure: exceptions.ClientError | None = error
    else:
        failure = None
        assert isinstance(count, int)
        assert releases == [release for each in pages[: len(book.asked)] for release in each["results"]]
    if failure is not None:
        assert failure.page == len(book.asked)


@given(st.integers(1, 40), st.integers(1, 7))
def test_a_list_is_complete_and_in_order(count: int, size: int) -> None:
    """A list of any length in pages of any size comes whole and in order."""
    starts = range(0, count, size)
    pages = [
        page(
            list(range(start, min(start + size, count))),
            f"?page={number + 2}" if start + size < count else None,
            count=count,
            previous=f"?page={number}" if number else None,
        )
        for number, start in enumerate(starts)
    ]
    book = Book(*pages)
    assert book.all() == (list(range(count)), count)
    assert len(book.asked) == len(pages)


def endless(count: Any) -> int:
    """How many pages of one release are read where each has a link to a new one."""
    book = Book(None)
    numbers = iter(range(2, 10**6))
    book._pages = _Endless(numbers, count)  # type: ignore[assignment]  # pages that are made as they are read
    with pytest.raises(exceptions.PaginationError, match="does not end"):
        book.all()
    return len(book.asked)


class _Endless:
    """Pages without end."""

    def __init__(self, numbers: Any, count: Any, results: Sequence[int] = (1,)) -> None:
        self._numbers = numbers
        self._count = count
        self._results = results

    def __len__(self) -> int:
        return 2

    def pop(self, _: int) -> dict[str, Any]:
        """The next page."""
        return page(list(self._results), f"?page={next(self._numbers)}", count=self._count)


def test_a_list_without_end_is_an_error() -> None:
    """A list that goes on far beyond its own count, or for ten thousand pages without one, is a PaginationError."""
    assert endless(4) < 200
    assert endless(None) <= pagination.MAX_PAGES_WITHOUT_COUNT + 1


@pytest.mark.parametrize(("count", "results", "pages"), [(4, [], 105), (4, [1, 2], 55), (0, [], 101), (0, [1], 101)])
def test_a_list_has_so_many_pages_at_the_most(count: int, results: list[int], pages: int) -> None:
    """A list is given up after 100 pages more than it counts, or 100 releases more than twice its count."""
    book = Book(None)
    book._pages = _Endless(iter(range(2, 10**6)), count, results)  # type: ignore[assignment]  # made as they are read
    with pytest.raises(exceptions.PaginationError, match="does not end"):
        book.all()
    assert len(book.asked) == pages


def test_before_the_first_page_nothing_is_known() -> None:
    """A walk that has not begun has a call to make, and no count."""
    walk = Book(page([])).walk
    assert walk.call is not None
    assert walk.count == 0


def test_no_step_leads_beyond_the_last_page() -> None:
    """A step after the last page is a PaginationError that says so, and asks for nothing."""
    book = Book(page([], count=0))
    book.all()
    with pytest.raises(exceptions.PaginationError, match="there is no further page") as caught:
        finish(book.walk.step())
    assert caught.value.detail == "there is no further page"
    assert len(book.asked) == 1


@pytest.mark.parametrize(("params", "previous"), [({"page": 2}, None), (None, "?page=1"), ({}, "?page=1")])
def test_only_the_first_page_tells_that_a_walk_starts_later(params: Any, previous: str | None) -> None:
    """A walk from a later page on may be short; one from the first page may not, though later pages have one before."""
    assert Book(page([3, 4], previous=previous), params=params).all() == ([3, 4], 4)
    with pytest.raises(exceptions.PaginationError, match="only 2 of 4"):
        Book(page([1], "?page=2"), page([2], previous="?page=1")).all()


def test_the_number_of_the_first_page_is_no_filter() -> None:
    """The page that a walk starts from is not asked for again by a link that names none."""
    book = Book(page([2], "?cursor=a"), page([3, 4]), params={"page": 2, "plugin": "x"})
    book.all()
    assert dict(book.asked[1]) == {"plugin": "x", "page_size": "100", "cursor": "a"}


def test_a_circle_is_named_as_one() -> None:
    """The detail of a circle is that sentence alone."""
    with pytest.raises(exceptions.PaginationError) as caught:
        Book(page([1], "?page=2"), page([2], "?page=2")).all()
    assert caught.value.detail == "its link to the next page leads back to a page already read"


def named(value: object) -> str:
    """The name of a parameter; mutmut hands it to pytest, which finds none with a backslash."""
    return ascii(value).replace("\\", "")


@pytest.mark.parametrize(
    ("params", "number"),
    [
        (None, 1),
        ({"plugin": "a"}, 1),
        ({"page": 3}, 3),
        ({"page": "12"}, 12),
        ({"page": "999999999"}, 999_999_999),
        ({"page": "9999999999"}, 0),
        ({"page": "last"}, 0),
        ({"page": "-1"}, 0),
        ({"page": "\N{SUPERSCRIPT TWO}"}, 0),
        ({"page": "\N{ARABIC-INDIC DIGIT THREE}"}, 0),
    ],
    ids=named,
)
def test_pages_are_counted_from_the_one_asked_for(params: Any, number: int) -> None:
    """A walk counts from the page that the caller names; from 0 where that is no plain number."""
    book = Book(page([1], "?cursor=a"), page([2], "?cursor=b"), page([3, 4]), params=params)
    book.all()
    assert book.ahead.numbers == [number, number + 1, number + 2]


def test_what_fetches_the_pages_learns_of_each() -> None:
    """What fetches the pages is told of each the first call, the call after it, that one's number, and the page."""
    pages = [page([1], "?page=2"), page([2], "?page=3"), page([3, 4])]
    book = Book(*pages)
    followers = []
    while book.walk.call is not None:
        finish(book.walk.step())
        followers.append(book.walk.call)
    assert book.ahead.learnt == [
        (book.first, follower, number, each) for follower, number, each in zip(followers, (2, 3, 4), pages, strict=True)
    ]
    assert followers[0] is not None
    assert followers[-1] is None


def at(links: Sequence[str], params: dict[str, Any] | None) -> Walk:
    """A walk that has read the pages with these links."""
    book = Book(*(page([1], link) for link in links), None, params=params)
    for _ in links:
        finish(book.walk.step())
    return book.walk


@pytest.mark.parametrize(
    ("links", "link", "params"),
    [
        (["?page=2"], "?page=3", None),
        (["?page=2", "?page=3"], "?page=4", None),
        (["?page=9"], "?page=10", {"page": 8}),
        (["?page=1", "?page=2"], "?page=3", {"page": "first"}),
        (["/team/plugin_releases/?page=2&page_size=2"], "/team/plugin_releases/?page=3&page_size=2", {"plugin": "a"}),
        (["http://agent:8600/page=2/?a=%C3%A4&page=2"], "http://agent:8600/page=2/?a=%C3%A4&page=3", None),
        (["?page=2&a=\xe4?b"], "?page=3&a=\xe4?b", None),
    ],
    ids=named,
)
def test_links_that_count_on_need_no_second_look(links: list[str], link: str, params: Any) -> None:
    """A link that is the one before it with the next number leads where following it would."""
    walk = at(links, params)
    assert walk._counted_on(link) == walk._followed(link)


@pytest.mark.parametrize(
    ("links", "link", "params"),
    [
        ([], "?page=2", None),
        (["?page=2"], "?page=2", None),
        (["?page=2"], "?page=4", None),
        (["?page=2"], "?page=3&a=1", None),
        (["?page=2"], "/other/?page=3", None),
        (["?page=2"], "//evil/?page=3", None),
        (["?page=2"], "?page=3#", None),
        (["?cursor=a"], "?cursor=b", None),
        (["?page=2&page=2"], "?page=3&page=3", None),
        (["?page=2&mypage=2"], "?page=3&mypage=3", None),
        (["?page=2"], "?page=3", {"mypage": 2}),
        (["?a=1#page=2"], "?a=1#page=3", {"mypage": 2}),
        (["#a?page=2"], "#a?page=3", {"mypage": 2}),
    ],
    ids=named,
)
def test_other_links_are_followed(links: list[str], link: str, params: Any) -> None:
    """A link with any other change, or a number that may be another's, is followed."""
    assert at(links, params)._counted_on(link) is None


PARTS = st.sampled_from(
    ["page={}", "mypage={}", "page=2", "a=1", "#", "?", "\xe4", "%20", "page_size=2", "page={}0", "/"]
)


@given(
    st.sampled_from(["?", "#?", "/page={}?", f"{BASE}/?"]),
    st.lists(PARTS, min_size=1, max_size=4).map("&".join),
    st.sampled_from([None, {"mypage": 2}, {"plugin": "page=2"}, {"page": 1}]),
)
def test_counting_on_is_following(place: str, query: str, params: Any) -> None:
    """Whatever a link looks like, counting on leads where following it would, or nowhere."""
    before, now = ((place + query).replace("{}", str(number)) for number in (2, 3))
    walk = at([before], params)
    assert walk._counted_on(now) in {None, walk._followed(now)}
