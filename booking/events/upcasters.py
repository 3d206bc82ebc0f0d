"""How an event written under an older schema is said today.

A new meaning of an event type is a new `schema` number, and comes with a function that turns the data
of the number before into the new one. The log keeps what was written; readers know today's meaning
only. A number beyond the last is a meaning this version does not know: it is refused, never guessed.
"""

from collections.abc import Callable, Mapping
from typing import Any

Data = dict[str, Any]
Upcast = Callable[[Data], Data]

UPCASTERS: Mapping[str, tuple[Upcast, ...]] = {}
"""By event type: from schema 1 to 2, from 2 to 3, and so on; none means that 1 is today's."""


class NewerSchema(ValueError):
    """The event says something that this version has not learnt yet."""


def schema_now(event_type: str, upcasters: Mapping[str, tuple[Upcast, ...]] = UPCASTERS) -> int:
    """The schema number under which a type of event is written and understood today."""
    return 1 + len(upcasters.get(event_type, ()))


def upcast(
    event_type: str,
    schema: int,
    data: Data,
    upcasters: Mapping[str, tuple[Upcast, ...]] = UPCASTERS,
) -> Data:
    """The data of an older schema in today's words.

    Raises:
        NewerSchema: it is of a newer one, or of one that never was.
    """
    if not 1 <= schema <= schema_now(event_type, upcasters):
        raise NewerSchema(
            f"{event_type} of schema {schema} is not known here, "
            f"only up to {schema_now(event_type, upcasters)}"
        )
    for step in upcasters.get(event_type, ())[schema - 1 :]:
        data = step(data)
    return data
