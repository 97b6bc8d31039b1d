"""The errors: their tree, what they carry, and that they survive pickling and copying."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from synapse_sdk import exceptions

CLASSES = [getattr(exceptions, name) for name in exceptions.__all__]
DETAILS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def drawn_tree() -> dict[str, set[str]]:
    """The tree in the module's docstring: each class with those that it stands under."""
    drawing = inspect.cleandoc(exceptions.__doc__ or "").split("```")[1]
    parents: dict[str, set[str]] = {}
    above: list[str] = []
    for line in drawing.strip().splitlines():
        match = re.match(r"([│├└─ ]*)(\w+)", line)
        assert match is not None
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        parents.setdefault(match[2], set()).update(above[depth - 1 : depth] if depth else {"Exception"})
    return parents


def test_the_tree_is_as_drawn() -> None:
    """The tree of errors in the documentation is the one of the code, with every class and no other."""
    real = {kind.__name__: {base.__name__ for base in kind.__bases__} for kind in CLASSES}
    assert drawn_tree() == real
    defined = {name for name, value in vars(exceptions).items() if inspect.isclass(value) and not name.startswith("_")}
    assert defined - {"Any"} == set(exceptions.__all__)


def test_an_error_is_caught_by_each_of_its_kinds() -> None:
    """Every error is a ClientError, and a late answer both a timeout and an incomplete response."""
    assert all(issubclass(kind, exceptions.ClientError) for kind in CLASSES)
    assert issubclass(exceptions.ClientResponseTimeoutError, exceptions.ClientTimeoutError)
    assert issubclass(exceptions.ClientResponseTimeoutError, exceptions.ClientResponseIncompleteError)


def test_a_message_is_made_of_status_and_detail() -> None:
    """An error that is made by hand shows its status and detail."""
    assert str(exceptions.ClientError(500, ["a", "b"])) == "500: ['a', 'b']"
    assert str(exceptions.ClientError(None, "nobody there")) == "nobody there"
    assert str(exceptions.ClientError()) == "None"


def test_the_request_id_is_that_of_the_answer() -> None:
    """request_id is the answer's X-Request-ID, or None."""
    error = exceptions.HTTPError(500)
    assert error.request_id is None
    error.headers = {"x-request-id": "abc"}
    assert error.request_id == "abc"


def filled(kind: type[exceptions.ClientError], detail: Any = "gone") -> exceptions.ClientError:
    """An error with a value in every attribute."""
    error = kind(404, detail, message="GET http://agent/ -> 404: gone", error_type="action_failed")
    error.attempts = 3
    error.headers = {"x-request-id": "abc"}
    error.page = 2
    error.results = [{"id": 1}]
    error.add_note("seen by a caller")
    return error


def assert_same(one: exceptions.ClientError, other: exceptions.ClientError) -> None:
    """Both are equal in everything that they carry."""
    assert type(one) is type(other)
    assert (str(one), repr(one), one.args) == (str(other), repr(other), other.args)
    assert vars(one) == vars(other)


def test_every_error_pickles_and_copies() -> None:
    """A pickle or a copy of an error carries the same, a deep copy shares nothing with it, and v1's names are there."""
    for kind in CLASSES:
        error = filled(kind, {"items": [1]})
        assert (error.status, error.reason) == (error.status_code, error.detail) == (404, {"items": [1]})
        assert_same(error, copy.copy(error))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert_same(error, pickle.loads(pickle.dumps(error, protocol)))  # noqa: S301 - made on this line
        deep = copy.deepcopy(error)
        assert_same(error, deep)
        deep.detail["items"].append(2)
        assert error.detail == {"items": [1]}


class CallerError(exceptions.NotFoundError):
    """An error of a caller's own, which is constructed in another way."""

    def __init__(self, name: str) -> None:
        super().__init__(404, name)
        self.name = name


def test_errors_of_callers_own_pickle() -> None:
    """A subclass with other arguments pickles without being constructed again."""
    assert_same(CallerError("x"), pickle.loads(pickle.dumps(CallerError("x"))))  # noqa: S301 - made on this line


@settings(max_examples=40)
@given(st.none() | st.integers(), DETAILS, st.none() | st.text())
def test_any_detail_is_kept(status: int | None, detail: Any, error_type: str | None) -> None:
    """A detail of any shape is kept as it is, through pickling and copying."""
    error = exceptions.ClientError(status, detail, error_type=error_type)
    assert error.detail is detail
    assert_same(error, pickle.loads(pickle.dumps(error)))  # noqa: S301 - made on this line
    assert_same(error, copy.deepcopy(error))
