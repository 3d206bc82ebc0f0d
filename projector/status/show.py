"""Shows the pipeline once or again and again: a live table on a terminal, lines or JSON elsewhere."""

import sys
import time
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
        raise Misconfigured(seen.untold[0])
    console = Console(highlight=False)
    try:
        if as_json:
            while True:
                sys.stdout.write(f"{_json(seen)}\n")
                sys.stdout.flush()
                if every_s is None:
                    break
                seen = _after(every_s, at)
        elif every_s is not None and console.is_terminal:
            with Live(table(seen), console=console, auto_refresh=False, screen=True) as live:
                while True:
                    seen = _after(every_s, at)
                    live.update(table(seen), refresh=True)
        else:
            wide = Console(highlight=False, width=max(console.width, 200))
            while True:
                (console if console.is_terminal else wide).print(table(seen))
                if every_s is None:
                    break
                seen = _after(every_s, at)
    except KeyboardInterrupt:
        pass  # the way to end it
    return NEEDS_A_HAND if any(troubles(seen)) else NOTHING_WRONG


def _after(every_s: float, at: Sources) -> Pipeline:
    time.sleep(every_s)
    return look(at)


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
