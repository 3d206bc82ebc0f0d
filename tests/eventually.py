"""Waiting in tests: for a condition, with a deadline, never for a number of seconds."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Seen = TypeVar("Seen")


async def eventually(
    look: Callable[[], Seen | Awaitable[Seen]],
    *,
    within_s: float = 5,
    every_s: float = 0.02,
    because: str = "",
) -> Seen:
    """Return the first true thing `look` sees; an AssertionError in it means "not yet".

    Fails with the last thing seen (or the last assertion) when `within_s` have passed.
    """
    deadline = time.monotonic() + within_s
    while True:
        failure: AssertionError | None = None
        seen: object = None
        try:
            found = look()
            seen = await found if inspect.isawaitable(found) else found
            if seen:
                return seen
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            sentence = because or getattr(look, "__name__", "the condition")
            raise AssertionError(
                f"not within {within_s} s: {sentence}; last seen: {failure or seen!r}"
            ) from failure
        await asyncio.sleep(every_s)
