"""Tables of the command line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from synapse_agent_sdk.cli.tables import lines

CELLS = st.text(st.characters(exclude_categories=["C", "M", "Z"]), max_size=40)


def test_what_fits_is_not_folded() -> None:
    """A table that fits is as narrow as its cells, whose line breaks and tabs are spaces."""
    rows = [["1", "text_stats", ""], ["22", "x\ny\tz", "now"]]
    assert list(lines(["ID", "PLUGIN", "CREATED"], rows, 60, frozenset())) == [
        "ID  PLUGIN      CREATED",
        "1   text_stats",
        "22  x y z       now",
    ]


def test_widest_column_is_folded_first() -> None:
    """Where there is too little room the widest column is folded, and a narrow one stays whole."""
    found = list(lines(["ID", "PLUGIN", "VERSION"], [["1", "a" * 30, "1.0.0"]], 30, frozenset({"ID"})))
    assert found == [
        "ID  PLUGIN             VERSION",
        "1   aaaaaaaaaaaaaaaaa  1.0.0",
        "    aaaaaaaaaaaaa",
    ]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5), st.integers(32, 120))
def test_any_cells_fit_and_are_whole(rows: list[tuple[str, str, str]], width: int) -> None:
    """Whatever the cells hold, in however wide letters, no line is too wide, and each letter is there."""
    found = list(lines(["A", "B", "C"], rows, width, frozenset()))
    assert [line for line in found if cell_len(line) > width] == []
    assert sorted("".join(found).replace(" ", "")) == sorted("ABC" + "".join("".join(row) for row in rows))


@given(st.text("0123456789", min_size=50, max_size=60), CELLS)
def test_whole_columns_stay_whole(number: str, text: str) -> None:
    """A column that must stay whole is not folded, however narrow the terminal is."""
    assert any(line.startswith(number) for line in lines(["ID", "B"], [[number, text]], 32, frozenset({"ID"})))
