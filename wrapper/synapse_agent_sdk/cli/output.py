"""Output of commands: results on stdout, everything else on stderr.

Results are tables on a terminal and JSON elsewhere. Control characters from an agent are escaped. rich is imported on
first use.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

from synapse_agent_sdk.cli import tables

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.progress import Progress

SPINNER_SECONDS = 0.3
"""The delay before a spinner shows."""
COLUMNS = 80
WHOLE = frozenset({"ID", "SIZE"})
"""Columns that are never folded, however narrow the terminal is."""
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that control a terminal or change the direction of text."""


def safe(text: str) -> str:
    r"""Escape control characters, so that a terminal only displays the string.

    Example:
        >>> safe("\x1b[2Jgone")
        '\\x1b[2Jgone'
    """
    return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text).encode("utf-8", "backslashreplace").decode()


def dumps(value: Any, *, indent: int | None = 2, is_ascii: bool = False) -> str:
    """Convert a value to JSON, keeping Unicode and escaping terminal control characters."""
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    # JSON escapes keep it valid JSON; line breaks between values are kept.
    return re.sub(r"[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class Output:
    """The result output of a command.

    Args:
        as_json: Whether to print results as JSON on a terminal too.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.is_json = as_json or not _is_terminal(sys.stdout)

    def json(self, value: Any) -> None:
        """Print a result as JSON."""
        if _is_terminal(sys.stdout):
            from rich.highlighter import JSONHighlighter
            from rich.text import Text

            self.draw(JSONHighlighter()(Text(dumps(value))), wraps=False)
        else:
            write(dumps(value, is_ascii=not _is_unicode(sys.stdout)) + "\n")

    def json_list(self, values: Iterable[Any]) -> None:
        """Print a list as JSON, each value as soon as it is available."""
        separator = "[\n"
        for value in values:
            write(separator + dumps(value, indent=None, is_ascii=not _is_unicode(sys.stdout)))
            separator = ",\n"
        write("[]\n" if separator == "[\n" else "\n]\n")

    def line(self, text: str) -> None:
        """Print a line of a result."""
        write(safe(text) + "\n")

    def draw(self, thing: RenderableType, *, wraps: bool = True) -> None:
        """Draw a rich renderable on stdout."""
        _console(sys.stdout).print(thing, soft_wrap=not wraps)

    def fields(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and values, one pair per line."""
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            table.add_row(safe(name), Text(safe(value)))
        self.draw(table)

    def table(self, names: Sequence[str], rows: Sequence[Sequence[str]], *, stream: TextIO | None = None) -> None:
        """Print a table; in a narrow terminal, wide cells are folded, not truncated."""
        target = sys.stdout if stream is None else stream
        cells = [[safe(cell) for cell in row] for row in rows]
        header, *rest = tables.lines(names, cells, columns_of(target), WHOLE)
        is_bold = _is_terminal(target) and has_colour()
        write(f"\x1b[1m{header}\x1b[0m\n" if is_bold else f"{header}\n", target)
        write("".join(f"{line}\n" for line in rest), target)


def write(text: str, stream: TextIO | None = None) -> None:
    """Write to stdout or another stream; escape characters that its encoding does not have."""
    target = sys.stdout if stream is None else stream
    encoding = target.encoding or "utf-8"
    target.write(text.encode(encoding, "backslashreplace").decode(encoding))


def print_err(text: str, style: str = "", *, wraps: bool = False) -> None:
    """Print a message on stderr.

    Args:
        text: The message.
        style: The ANSI style of its first word, if stderr is a terminal with colours.
        wraps: Whether to wrap at word boundaries on a terminal.
    """
    text = safe(text)
    is_terminal = _is_terminal(sys.stderr)
    if wraps and is_terminal:
        text = textwrap.fill(text, columns_of(sys.stderr), break_long_words=False, break_on_hyphens=False)
    if style and is_terminal and has_colour():
        first, space, rest = text.partition(" ")
        text = f"\x1b[{style}m{first}\x1b[0m{space}{rest}"
    write(f"{text}\n", sys.stderr)


def columns_of(stream: TextIO) -> int:
    """The width of a stream's terminal; 80 columns if unknown."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    except (OSError, ValueError):
        return COLUMNS


def has_colour() -> bool:
    """Whether the environment allows colours (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def draws_on_stderr() -> bool:
    """Whether stderr can show animations."""
    return _is_terminal(sys.stderr) and os.environ.get("TERM") not in {"dumb", "unknown"}


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _may_be_seen(stream: TextIO) -> bool:
    """Whether output may appear on a terminal immediately: the stream is a terminal, or a pipe to another program."""
    try:
        return stream.isatty() or stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _is_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, no_color=not has_colour())


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a spinner with the elapsed time, on a terminal and after a short delay."""
    if not draws_on_stderr():
        yield
        return
    done = threading.Event()
    spinner = threading.Thread(target=_spin, args=(safe(text), done), daemon=True)
    spinner.start()
    try:
        yield
    finally:
        done.set()
        spinner.join()


def _spin(text: str, done: threading.Event) -> None:
    started = time.monotonic()
    if done.wait(SPINNER_SECONDS):
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    name = "dots" if _is_unicode(sys.stderr) else "line"
    columns = (SpinnerColumn(name), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = _console(sys.stderr)
    with Progress(
        *columns, console=console, transient=True, get_time=time.monotonic, redirect_stdout=False
    ) as progress:
        task = progress.add_task(text, total=None)
        progress.tasks[task].start_time = started
        done.wait()


class Bar:
    """A progress bar with count and rate, shown on a terminal if there is more than one page.

    Args:
        is_streamed: Whether results are written to stdout during the listing. If so, there is no bar if the results
            could appear on the same terminal.
    """

    def __init__(self, *, is_streamed: bool) -> None:
        self._is_shown = draws_on_stderr() and not (is_streamed and _may_be_seen(sys.stdout))
        self._progress: Progress | None = None
        self._started = time.monotonic()

    def over(self, pages: Iterable[Any]) -> Generator[Any, None, None]:
        """Iterate over the releases of the pages; closing the generator removes the bar."""
        read = 0
        try:
            for page in pages:
                results = page["results"]
                read += len(results)
                self._show(read, page.get("count"), is_more=bool(page.get("next")))
                yield from results
        finally:
            if self._progress is not None:
                self._progress.stop()

    def _show(self, read: int, count: Any, *, is_more: bool) -> None:
        if self._progress is None:
            if not is_more or not self._is_shown:
                return
            self._progress = _bar()
            self._progress.add_task("releases", total=None, rate="")
            self._progress.start()
        rate = read / max(time.monotonic() - self._started, 1e-9)
        total = count if isinstance(count, int) else None
        self._progress.update(self._progress.task_ids[0], completed=read, total=total, rate=f"{rate:,.0f}/s")


def _bar() -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("{task.description} {task.fields[rate]}"))
    # With redirection, rich would draw stdout output above the bar, on stderr.
    return Progress(*columns, console=_console(sys.stderr), transient=True, expand=True, redirect_stdout=False)
