"""How far an audit is: a bar on a terminal, else a line every few seconds. Always on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from booking.audit.audit import Progress

LINE_INTERVAL_S: Final = 2.0


@contextmanager
def progress() -> Iterator[Progress]:
    """What to tell it to; shows nothing more when left."""
    if sys.stderr.isatty():
        with _bars() as tell:
            yield tell
    else:
        yield _Lines()


class _Lines:
    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def __call__(self, what: str, done: int, of: int) -> None:
        now_s = time.monotonic()
        if done >= of or now_s - self._last_s >= LINE_INTERVAL_S:
            self._last_s = now_s
            sys.stderr.write(f"{what}: {done:,} of {of:,}\n")
            sys.stderr.flush()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 only a terminal needs it
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars  # noqa: PLC0415

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
