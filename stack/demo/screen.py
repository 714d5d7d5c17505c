"""What the demo prints: numbered steps, short lines under them, a progress bar where there is a terminal."""

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_INDENT = "    "


class Screen:
    """Prints to stdout; plain text where that is no terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._numbers = itertools.count(1)

    @property
    def is_terminal(self) -> bool:
        return self._console.is_terminal

    def title(self, text: str) -> None:
        self._print(f"[bold]history-sink[/]  {escape(text)}")

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._print(f"\n[bold]{next(self._numbers):2}. {escape(text)}[/]")

    def text(self, text: str = "") -> None:
        self._print(_INDENT + escape(text))

    def rows(self, rows: Sequence[Sequence[object]]) -> None:
        """Lines in columns: numbers to the right, with thousands marked; the rest to the left."""
        cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row, line in zip(rows, cells, strict=True):
            padded = [
                cell.rjust(width) if isinstance(value, int) else cell.ljust(width)
                for value, cell, width in zip(row, line, widths, strict=True)
            ]
            self.text("  ".join(padded).rstrip())

    def end(self, text: str) -> None:
        self._print(f"\n[bold green]{escape(text)}[/]")

    def fail(self, text: str) -> None:
        """Say on stderr what does not hold."""
        print(f"demo: {text}", file=sys.stderr)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar; the block calls what it gets with how many are done. Elsewhere, a line at each quarter."""
        if not self.is_terminal:
            yield _quarters(lambda done: self.text(f"{done} of {total} messages {what}"), total)
            return
        columns = (TextColumn(f"{_INDENT}{what:9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("", total=total)
            yield lambda done: progress.update(task, completed=done)

    def _print(self, markup: str) -> None:
        self._console.print(markup)


def _quarters(say: Callable[[int], None], total: int) -> Callable[[int], None]:
    said = 0

    def advance(done: int) -> None:
        nonlocal said
        if 4 * done // total > said:
            said = 4 * done // total
            say(done)

    return advance
