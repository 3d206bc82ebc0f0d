"""How far a long command is, and how long it will still take.

A bar on a terminal, else a line now and then; always on standard error, so that standard output holds
nothing but the result.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

LINE_INTERVAL_S: Final = 2.0

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is, as far as is known."""


@contextmanager
def progress() -> Iterator[Progress]:
    """What to tell it to; shows nothing more when left."""
    if sys.stderr.isatty():
        with _bars() as tell:
            yield tell
    else:
        yield _Lines()


class _Lines:
    def __init__(self, *, ends_told: bool = True) -> None:
        self._ends_told = ends_told
        self._what = ""
        self._began_s = self._last_s = time.monotonic()
        self._done_before = self._told = 0
        self.tell: Callable[[str], None] = _to_standard_error

    def __call__(self, what: str, done: int, of: int) -> None:
        now_s = time.monotonic()
        if what != self._what:
            self._what, self._began_s, self._done_before, self._told = what, now_s, done, 0
        ended = self._ends_told and done >= of and self._told < of
        if ended or now_s - self._last_s >= LINE_INTERVAL_S:
            self._last_s, self._told = now_s, done
            self.tell(f"{what}: {done:,} of {of:,}{self._left(done, of, now_s)}")

    def _left(self, done: int, of: int, now_s: float) -> str:
        passed_s, newly = now_s - self._began_s, done - self._done_before
        if newly <= 0 or passed_s <= 0 or done >= of:
            return ""
        per_s = newly / passed_s
        return f", {per_s:,.0f}/s, {(of - done) / per_s:,.0f} s left"


def _to_standard_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 only a terminal needs it
    from rich.progress import (  # noqa: PLC0415 only a terminal needs them
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415 only a terminal needs them

    columns = (
        TextColumn("{task.description:16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield tell


def logged() -> Progress:
    """The lines as log lines, for a process that has no terminal."""
    log, lines = structlog.get_logger(__name__), _Lines(ends_told=False)
    lines.tell = lambda line: log.info("progress", of=line)
    return lines


def silent(_: str, __: int, ___: int) -> None:
    """Nobody watches."""
