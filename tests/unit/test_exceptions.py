"""The errors: class tree, attributes, pickling and copying."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

from synapse_agent_sdk import exceptions

CLASSES = [getattr(exceptions, name) for name in exceptions.__all__]


def test_the_tree_matches_the_classes() -> None:
    """The tree in the module's docstring matches the classes, with ClientError at the top."""
    above, drawn = [Exception.__name__], set()
    drawing = inspect.cleandoc(exceptions.__doc__ or "").split("```")[1]
    for branch, name in re.findall(r"^([│├└─ ]*)(\w+)", drawing, re.MULTILINE):
        above[len(branch) // 4 + 1 :] = [name]
        drawn.add((above[-2], name))
    assert drawn == {(base.__name__, kind.__name__) for kind in CLASSES for base in kind.__bases__}
    assert all(issubclass(kind, exceptions.ClientError) for kind in CLASSES)
    defined = {name for name, value in vars(exceptions).items() if inspect.isclass(value) and not name.startswith("_")}
    assert defined - {"Any"} == set(exceptions.__all__)


class CallerError(exceptions.NotFoundError):
    """A user's subclass with a different constructor."""

    def __init__(self, name: str) -> None:
        super().__init__(404, name)


def assert_survives(error: exceptions.ClientError) -> None:
    """Copies and pickles preserve every attribute of the error."""
    pickles = [pickle.dumps(error, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in (copy.copy(error), copy.deepcopy(error), *map(pickle.loads, pickles)):
        assert type(other) is type(error)
        assert (str(other), repr(other), other.args) == (str(error), repr(error), error.args)
        assert vars(other) == vars(error)


def test_every_error_pickles_and_copies() -> None:
    """Pickles and copies of an error are equal to it, a deep copy shares nothing, and v1 aliases work."""
    assert str(exceptions.ClientError(500, ["a", "b"])) == "500: ['a', 'b']"
    assert (str(exceptions.ClientError()), exceptions.ClientError().request_id) == ("None", None)
    assert_survives(CallerError("x"))
    for kind in CLASSES:
        error = kind(404, {"items": [1]}, message="GET http://agent/ -> 404: gone", error_type="action_failed")
        error.attempts, error.page, error.results = 3, 2, [{"id": 1}]
        error.headers = {"x-request-id": "abc"}
        error.add_note("seen by a caller")
        assert (error.status, error.reason) == (error.status_code, error.detail) == (404, {"items": [1]})
        assert error.request_id == "abc"
        assert_survives(error)
        copy.deepcopy(error).detail["items"].append(2)
        assert error.detail == {"items": [1]}
