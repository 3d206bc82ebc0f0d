"""What a read model is to the projector: what it makes of each event, and the SQL that writes that.

One object lives as long as one batch. Folding is pure; the statements are given away, for whoever
holds a connection to run.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from booking.events.envelope import Event

Fold = Callable[[Any, Event, Any], None]
"""A method of a read model: takes in an event and its decoded data."""


class Write(NamedTuple):
    """A statement with its parameters; `slots` says that it returns whole slots as written."""

    sql: str
    parameters: Sequence[object]
    slots: bool = False


class ReadModel(ABC):
    """What one batch of events changes in one read model."""

    TABLES: ClassVar[tuple[str, ...]]
    """Its tables in the schema `read_model`: what an epoch change empties and a rebuild replaces."""
    FOLDS: ClassVar[Mapping[str, Fold]]
    """By event type; a type that is missing changes nothing here."""

    @abstractmethod
    def writes(self) -> Iterator[Write]:
        """The statements that write what was folded, in an order that satisfies them."""
