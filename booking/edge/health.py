"""Health: whether a process runs, and what it lacks to serve.

Live means the loop turns. Ready means that nothing is missing; what is missing is named, so that nobody
has to guess from a red light.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

READY_TIMEOUT_S = 2.0

Missing = Callable[[], Awaitable[list[str]]]

API_KEYS = "api-keys"
REMEDIES: Mapping[str, str] = {
    API_KEYS: (
        "In production every request needs an API key and there is none yet: make one with "
        "`booking keys create NAME --scope SCOPE`, or set BOOKING_ENVIRONMENT=development to try it out alone."
    ),
}
"""What an operator can do about something that is missing; what comes by itself has none."""


def what_helps(missing: Iterable[str]) -> list[str]:
    """A sentence for each of the missing that somebody can do something about."""
    return [REMEDIES[name] for name in missing if name in REMEDIES]


async def what_is_missing(checks: Mapping[str, Missing]) -> list[str]:
    """Asks everybody at once what they lack.

    Args:
        checks: by name; one that raises, or does not answer within 2 s, is itself named as missing.
    """
    answers = await asyncio.gather(*(_ask(name, check) for name, check in checks.items()))
    return _once_each(name for answer in answers for name in answer)


async def _ask(name: str, check: Missing) -> list[str]:
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await check()
    except Exception:  # noqa: BLE001 - whatever it was: a part that cannot say it is ready is not
        return [name]


def _once_each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
