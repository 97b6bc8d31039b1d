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


def test_the_tree_is_as_drawn() -> None:
    """The tree in the module's documentation has every class below each of its bases, and no other."""
    above, drawn = [Exception.__name__], set()
    drawing = inspect.cleandoc(exceptions.__doc__ or "").split("```")[1]
    for branch, name in re.findall(r"^([│├└─ ]*)(\w+)", drawing, re.MULTILINE):
        above[len(branch) // 4 + 1 :] = [name]
        drawn.add((above[-2], name))
    assert drawn == {(base.__name__, kind.__name__) for kind in CLASSES for base in kind.__bases__}
    defined = {name for name, value in vars(exceptions).items() if inspect.isclass(value) and not name.startswith("_")}
    assert defined - {"Any"} == set(exceptions.__all__)


def test_every_error_is_a_client_error() -> None:
    """One except clause catches everything that a call can end in."""
    assert all(issubclass(kind, exceptions.ClientError) for kind in CLASSES)


def test_a_message_is_made_of_status_and_detail() -> None:
    """An error that is made by hand shows its status and detail, and has no request id."""
    assert str(exceptions.ClientError(500, ["a", "b"])) == "500: ['a', 'b']"
    assert str(exceptions.ClientError(None, "nobody there")) == "nobody there"
    assert str(exceptions.ClientError()) == "None"
    assert exceptions.ClientError().request_id is None


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
        assert error.request_id == "abc"
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
