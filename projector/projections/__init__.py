"""What becomes of each event: the one table of read models.

Each line is a read model, and each read model one file: its tables, the event types it takes, how it
folds them and the SQL that writes them. A new one needs its file, its migration and its line here. An event type
that no read model takes and that is not ignored on purpose is a mistake a test finds; one that this
version does not know at all is counted and skipped.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from booking.events.envelope import Event
from projector.projections.activity import Activity
from projector.projections.availability import Availability
from projector.projections.booked import Booked
from projector.projections.bookings import Bookings
from projector.projections.histories import Histories
from projector.projections.read_model import Fold, ReadModel, Write, at_once
from projector.projections.resources import Resources

READ_MODELS: tuple[type[ReadModel], ...] = (
    Resources,
    Availability,
    Bookings,
    Activity,
    Booked,
    Histories,
)
"""In the order in which they are written."""

TABLES: tuple[str, ...] = (
    *(table for model in READ_MODELS for table in model.TABLES),
    *("suspect_slot", "suspect_booking", "dead_letter"),
)
"""All that is folded from the log, and nothing else of the schema `read_model`."""

IGNORED: frozenset[str] = frozenset()
"""Event types that deliberately change no read model."""


class Table(NamedTuple):
    """Read models, and for each event type which of them take it (by their place) and how."""

    read_models: tuple[type[ReadModel], ...]
    projections: Mapping[str, tuple[tuple[int, Fold], ...]]


def table(read_models: tuple[type[ReadModel], ...]) -> Table:
    """The read models with what each event type means to them."""
    types = {event_type for model in read_models for event_type in model.FOLDS}
    return Table(
        read_models,
        {
            event_type: tuple(
                (number, model.FOLDS[event_type])
                for number, model in enumerate(read_models)
                if event_type in model.FOLDS
            )
            for event_type in types
        },
    )


THE_PRODUCTS = table(READ_MODELS)
PROJECTIONS = THE_PRODUCTS.projections


class Changed:
    """Everything a batch changes."""

    def __init__(self, of: Table = THE_PRODUCTS) -> None:
        self.read_models = [model() for model in of.read_models]
        self._projections = of.projections

    def fold(self, event: Event, fact: Struct) -> None:
        """Take in one event with its decoded data; events come in the order of the log."""
        for number, fold in self._projections[event.type]:
            fold(self.read_models[number], event, fact)


def writes(changed: Changed) -> Iterator[Write]:
    """The statements that bring a batch into the read model, in an order that satisfies them."""
    for model in changed.read_models:
        yield from model.writes()


__all__ = [
    "IGNORED",
    "PROJECTIONS",
    "READ_MODELS",
    "TABLES",
    "THE_PRODUCTS",
    "Changed",
    "ReadModel",
    "Table",
    "Write",
    "at_once",
    "table",
    "writes",
]
