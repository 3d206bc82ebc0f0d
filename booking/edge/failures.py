"""What ends a process with one sentence instead of a traceback.

A mistake of whoever starts or configures a process is no defect of ours: it gets a sentence that names
the setting or the remedy, and exit code 2. Everything else keeps its traceback.
"""

from collections.abc import Iterator


class Misconfigured(Exception):
    """A user's or operator's mistake; `str()` of it is one sentence with the remedy."""


def misconfiguration_in(error: BaseException) -> Misconfigured | None:
    """The first misconfiguration inside an error, also where a task group has wrapped it."""
    return next((leaf for leaf in _leaves(error) if isinstance(leaf, Misconfigured)), None)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
