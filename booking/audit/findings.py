"""What an audit finds: witnesses as data, the smallest first, and never more than fit a page or two."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

RULES: Final[Mapping[str, str]] = {
    "positions-dense": "positions of the log are 1 to n without holes",
    "versions-dense": "versions of every slot, booking and resource are 1 to n without holes",
    "events-follow": "each event follows from those before it",
    "columns-as-payload": "the columns of each event say what its payload says",
    "recorded-in-order": "moments of recording never go back, nor is the head's before the last event's",
    "event-ids-differ": "no two events have the same id",
    "never-oversold": "no slot ever has more units taken than it has",
    "counters-add-up": "counters of a slot = its live bookings = fold of the log",
    "rows-as-logged": "every row is what the log folds to",
    "customer-use": "a limited customer's use of a slot = the live bookings",
    "lines-of-bookings": "every line belongs to a booking",
    "answers-within-log": "no answer that is kept tells of a position beyond the log's head",
}
"""What must hold, by the name that a witness gives it."""

WITNESSES_MAX: Final = 100
"""Kept of all that were found; whoever has more than these to mend needs another plan."""


class Witness(Struct, frozen=True, kw_only=True):
    """One place where two sources contradict each other."""

    rule: str
    entity: str
    id: UUID | None
    customer_id: UUID | None = None
    position: int
    """Of the event that contradicts; for rows, up to which the log was folded."""
    size: int
    """How many events must be read to see it: an entity's version; 0 for what is seen without any."""
    says: dict[str, dict[str, object]]
    """By source: row, counters, lines, bookings, log, event, expected. Only what differs, but for counters."""


class Findings:
    """Counts every contradiction by its rule, and keeps the smallest witnesses."""

    def __init__(self) -> None:
        self.violations: Counter[str] = Counter()
        self._witnesses: list[Witness] = []

    def add(self, witness: Witness) -> None:
        """Take a contradiction down."""
        self.violations[witness.rule] += 1
        self._witnesses.append(witness)
        if len(self._witnesses) >= 10 * WITNESSES_MAX:
            self._witnesses = self.witnesses

    @property
    def witnesses(self) -> list[Witness]:
        """At most `WITNESSES_MAX`, those first that take the least reading."""
        return sorted(self._witnesses, key=lambda w: (w.size, w.position))[:WITNESSES_MAX]


def differing(**sources: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """Of equally named facts by source, those that are not the same everywhere."""
    first, *others = sources.values()
    unequal = [name for name in first if any(first[name] != other[name] for other in others)]
    return {source: {name: facts[name] for name in unequal} for source, facts in sources.items()}


def readable(says: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """The same with ids and moments as people and JSON write them; inside they are integers."""
    return {
        source: {_named(name): _shown(name, fact) for name, fact in facts.items()}
        for source, facts in says.items()
    }


def _named(name: str) -> str:
    return name.removesuffix("_us") + "_at" if name.endswith("_us") else name


def _shown(name: str, fact: object) -> object:
    match fact:
        case int() if name.startswith(("customer_id", "resource_id")):
            return str(UUID(int=fact))
        case int() if name.endswith("_us"):
            return (EPOCH + timedelta(microseconds=fact)).isoformat()
        case tuple() if name.startswith("lines"):
            return {str(UUID(int=slot_id)): units for slot_id, units in fact}
        case list() if name == "slots":
            return [str(UUID(int=slot_id)) for slot_id in fact]
        case _:
            return fact
