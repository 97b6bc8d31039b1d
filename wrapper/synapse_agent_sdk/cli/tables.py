"""Plain tables. Pure.

rich needs a millisecond per row: a list of 100,000 releases would take minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP = "  "
LEAST = 8
"""The minimum width of a folded column."""


def lines(names: Sequence[str], rows: Sequence[Sequence[str]], width: int, whole: frozenset[str]) -> Iterator[str]:
    r"""The lines of a table, header first; cells that are too wide are folded, not truncated.

    Args:
        names: The column names.
        rows: A cell for each column.
        width: The terminal width.
        whole: Names of columns that are never folded.

    Example:
        >>> print(*lines(["ID", "PLUGIN"], [["1", "text_stats"], ["2", "csv"]], 12, frozenset({"ID"})), sep="\n")
        ID  PLUGIN
        1   text_sta
            ts
        2   csv
    """
    table = [list(names), *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    foldable = [index for index, name in enumerate(names) if name not in whole]
    for index in foldable:
        widths[index] = min(widths[index], max(width, LEAST))
    room = width - len(GAP) * (len(names) - 1)
    while foldable and sum(widths) > room:
        widest = max(foldable, key=widths.__getitem__)
        if widths[widest] <= LEAST:
            break
        widths[widest] -= 1
    for row in table:
        yield from _row(row, widths)


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    parts = [[cell] if _width(cell) <= width else _folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for number in range(max(map(len, parts))):
        cells = [part[number] if number < len(part) else "" for part in parts]
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths, strict=True)]
        yield GAP.join(padded).rstrip()


def _width(text: str) -> int:
    """The terminal width of a string."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _folded(text: str, width: int) -> list[str]:
    from rich.cells import chop_cells

    return chop_cells(text, width)
