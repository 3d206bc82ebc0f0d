"""Shows the pipeline once or again and again: a live table on a terminal, lines or JSON elsewhere."""

import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live

from booking.edge.failures import Misconfigured
from projector.status.pipeline import Pipeline, Sources, look
from projector.status.table import table
from projector.status.troubles import troubles

NOTHING_WRONG = 0
NEEDS_A_HAND = 1


def show(at: Sources, *, every_s: float | None, as_json: bool) -> int:
    """Look and show; with `every_s` until interrupted, then the last look decides the exit code.

    Raises:
        Misconfigured: the queries do not tell, at the first look; later ones are waited for.
    """
    seen = look(at)
    if seen.consistency is None:
        raise Misconfigured(seen.silent[0])
    console = Console(highlight=False)
    if every_s is None:
        _tell(seen, console, as_json=as_json)
    else:
        seen = _keep_telling(seen, at, console, every_s=every_s, as_json=as_json)
    return NEEDS_A_HAND if any(troubles(seen)) else NOTHING_WRONG


def _keep_telling(
    seen: Pipeline, at: Sources, console: Console, *, every_s: float, as_json: bool
) -> Pipeline:
    """Tell what is seen until ctrl-C; returns what was seen last."""
    with ctrl_c() as pressed_within:
        if console.is_terminal and not as_json:
            with Live(table(seen), console=console, auto_refresh=False, screen=True) as live:
                while not pressed_within(every_s):
                    seen = look(at)
                    live.update(table(seen), refresh=True)
            return seen
        _tell(seen, console, as_json=as_json)
        while not pressed_within(every_s):
            seen = look(at)
            _tell(seen, console, as_json=as_json)
    return seen


def _tell(seen: Pipeline, console: Console, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{_json(seen)}\n")
        sys.stdout.flush()
    else:
        wide = Console(highlight=False, width=max(console.width, 200))
        (console if console.is_terminal else wide).print(table(seen))


@contextmanager
def ctrl_c() -> Iterator[Callable[[float], bool]]:
    """Whether it was pressed, within so many seconds at most.

    As an exception it may be raised where a library holds a lock or nothing may be raised, and be lost; a
    byte in a socket waits until somebody looks (`signal.set_wakeup_fd`).
    """
    told, tells = socket.socketpair()
    with told, tells:
        tells.setblocking(False)
        before = signal.signal(signal.SIGINT, lambda *_: None)
        other = signal.set_wakeup_fd(tells.fileno())
        try:
            yield lambda seconds: bool(select.select([told], [], [], seconds)[0])
        finally:
            signal.set_wakeup_fd(other)
            signal.signal(signal.SIGINT, before)


def _json(seen: Pipeline) -> str:
    """The answer of `/v1/consistency` with what the other sources told beside it."""
    answer: dict[str, Any] = msgspec.to_builtins(seen.consistency) or {}
    beside = {
        "jetstream": msgspec.to_builtins(seen.jetstream),
        "measures": msgspec.to_builtins(seen.measures),
        "troubles": list(troubles(seen)),
        "untold": seen.untold,
    }
    return msgspec.json.encode({**answer, **beside}).decode()
