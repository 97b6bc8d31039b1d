"""The page of mutants that survive: each is of a line that there is, and has its reason."""

from __future__ import annotations

import pytest

from tools import mutate
from tools.mutate import Mutant

EXPLAINED = mutate.explained(mutate.PAGE.read_text(encoding="utf-8"))
ONE = Mutant("retries.total_seconds", "- return None\n+ return 0")
OTHER = Mutant("lookup._text", "- return ''\n+ return None")


@pytest.mark.parametrize("mutant", EXPLAINED, ids=lambda mutant: mutant.function)
def test_explained_mutants_are_of_lines_that_there_are(mutant: Mutant) -> None:
    """A mutant of the page has a reason, and changes a line that stands in the function that it names."""
    module, _, name = mutant.function.partition(".")
    source = (mutate.ROOT / "wrapper" / mutate.PACKAGE / f"{module}.py").read_text(encoding="utf-8")
    body = source.partition(f"def {name.rpartition('.')[2]}(")[2]
    for line in mutant.change.splitlines():
        if line.startswith("- "):
            assert line.removeprefix("- ") in body
    assert EXPLAINED[mutant]


def test_a_page_is_read() -> None:
    """A section may hold several changes, which share its reason; one without a reason has an empty one."""
    page = f"# Page\n\n## `{ONE.function}`\n\n```diff\n{ONE.change}\n```\n\nWhy.\n"
    assert mutate.explained(page) == {ONE: "Why."}
    assert mutate.explained(page.replace("Why.", f"```diff\n{OTHER.change}\n```\n\nWhy.")) == {
        ONE: "Why.",
        Mutant(ONE.function, OTHER.change): "Why.",
    }
    assert mutate.explained(page.replace("Why.", "")) == {ONE: ""}


def test_a_change_is_its_lines() -> None:
    """A change is known by what it takes away and adds, whatever its place and indentation."""
    diff = "--- a.py\n+++ a.py\n@@ -7,3 +7,3 @@\n def total_seconds():\n-    return None\n+    return 0\n"
    assert mutate.change_of(diff) == mutate.change_of(diff.replace("7", "90").replace("    ", "\t\t")) == ONE.change


def test_a_survivor_needs_its_reason() -> None:
    """A survivor that the page does not explain is a fault, which shows the section that is missing."""
    statuses = {"a": "survived", **{str(number): "killed" for number in range(99)}}
    assert mutate.faults(statuses, {ONE}, {ONE: "Why."}) == []
    for reasons in ({}, {ONE: ""}, {OTHER: "Why."}):
        (fault,) = mutate.faults(statuses, {ONE}, reasons)
        assert f"## `{ONE.function}`\n\n```diff\n{ONE.change}\n```" in fault


@pytest.mark.parametrize(("killed", "enough"), [(100, True), (90, True), (89, False), (0, False)])
def test_nine_of_ten_are_to_be_killed(killed: int, enough: bool) -> None:
    """Fewer than 90 % of killed mutants are a fault, however well the others are explained."""
    statuses = {str(number): "killed" if number < killed else "survived" for number in range(100)}
    assert (mutate.faults(statuses, {ONE}, {ONE: "Why."}) == []) is enough


@pytest.mark.parametrize("status", sorted(mutate.UNFINISHED))
def test_a_run_that_was_cut_off_is_none(status: str) -> None:
    """Mutants that were not tested are a fault, and so is a run without any."""
    assert "1 of 100" in mutate.faults({"a": status, **{str(n): "killed" for n in range(99)}}, set(), {})[0]
    assert mutate.faults({}, set(), {}) != []


def test_tests_that_pytest_cannot_find_by_name_end_the_run() -> None:
    """A test that pytest lists, and then does not find by that name, would make each mutant look noticed."""
    (name,) = (name for name in mutate.collected("tests/unit/test_mutants.py") if name.endswith("test_a_page_is_read"))
    assert mutate.collected(name) == [name]
    with pytest.raises(SystemExit, match=r"not found: .*test_a_page_is_lost"):
        mutate.collected(name, name.replace("read", "lost"))
