"""One calendar: all slots of a resource in memory, in the order of their beginning, as bytes.

It follows its resource like a live stream does: told of every change, or that it may have missed one.
It knows no database and no clock.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from booking.events.messages import SlotState
from projector.queries.find_calendar import CalendarRead
from projector.queries.standing import Standing
from projector.replica.memory import Told

_NOWHERE = UUID(int=0)


class PageSlot(Struct, frozen=True, kw_only=True, gc=False):
    """A slot of a page, encoded."""

    starts_at: datetime
    slot_id: UUID
    json: bytes


class Calendar:
    """The slots of one resource; a `Watcher` of it."""

    def __init__(self, resource_id: UUID) -> None:
        self.resource_id: UUID | None = resource_id
        self.slot_ids: Sequence[UUID] = ()
        self.missed_some = False
        self.lacks_some = False
        """A slot is missing, because its opening could not be taken in."""
        self.ahead: Standing | None = None
        """Where the tables stood when they were read, if that is further than this node has heard."""
        self._slots: dict[UUID, SlotState] = {}
        self._pages: dict[UUID, PageSlot] = {}
        self._order: list[tuple[datetime, UUID]] = []
        self._suspect: frozenset[UUID] = frozenset()

    def __len__(self) -> int:
        """How many slots it has."""
        return len(self._slots)

    def changed(self, told: Told, position: int) -> None:  # noqa: ARG002  a Watcher's signature
        """One of its slots changed, or is new."""
        slot = told.slot
        known = self._slots.get(slot.slot_id)
        if known is not None and known.version >= slot.version:
            return
        self._slots[slot.slot_id] = slot
        suspect = b"true" if slot.slot_id in self._suspect else b"false"
        self._pages[slot.slot_id] = PageSlot(
            starts_at=slot.starts_at,
            slot_id=slot.slot_id,
            json=b'%b,"suspect":%b}' % (told.json, suspect),
        )
        if known is None:
            key = (slot.starts_at, slot.slot_id)
            self._order.insert(bisect_left(self._order, key), key)

    def missed(self, position: int) -> None:  # noqa: ARG002  a Watcher's signature
        """A change may have been missed: it cannot be mended, only read again."""
        self.missed_some = True

    def begin_with(self, read: CalendarRead) -> None:
        """Take in what the tables held; newer changes heard meanwhile stay."""
        self._suspect = read.suspect
        self.lacks_some = read.lacks_some
        for slot in read.slots:
            self.changed(Told(slot), 0)

    def page(
        self,
        starts_from: datetime,
        starts_before: datetime,
        *,
        units: int | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[list[PageSlot], bool]:
        """At most `limit` slots in order, and whether one of them is suspect."""
        order, pages = self._order, self._pages
        begin = bisect_left(order, (starts_from, _NOWHERE))
        if after is not None:
            begin = max(begin, bisect_left(order, after))
            begin += begin < len(order) and order[begin] == after
        end = bisect_left(order, (starts_before, _NOWHERE))
        if units is None:
            found = [pages[slot_id] for _, slot_id in order[begin : min(end, begin + limit)]]
        else:
            found = []
            for _, slot_id in order[begin:end]:
                slot = self._slots[slot_id]
                if slot.state == "open" and slot.remaining >= units:
                    found.append(pages[slot_id])
                    if len(found) == limit:
                        break
        suspect = bool(self._suspect) and any(slot.slot_id in self._suspect for slot in found)
        return found, suspect
