"""What really happened, from the log and the history: per slot the state at each version, and between which moments it was committed.

Commit times are not observable. commit(v) lies between invoke and return of the operation that made v, by the generator's clock; and versions of
a slot are committed in order, so later returns bound earlier commits and earlier invokes bound later ones. Whoever judges uses the end that
favours the system, so that a violation is certain. Times in the log are never used: by `recorded_at` three quarters of honest readings would be
convicted. Pure.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from loadtest.history import LoggedEvent, LoggedSlot, Operation

LONG_AGO_NS = -(2**62)
NEVER_NS = 2**62


class Change(Struct, frozen=True, kw_only=True):
    """A version of a slot: the event that made it, and the slot after it."""

    event: LoggedEvent
    slot: LoggedSlot

    @property
    def remaining(self) -> int:
        """A(v): what the next booking could have got."""
        slot = self.slot
        return slot.capacity + slot.overbooking_units - slot.held - slot.confirmed


class _SlotTruth:
    """One slot's versions in order, with the bounds of their commits."""

    def __init__(self, changes: list[Change], made_by: dict[str, tuple[int, int]]) -> None:
        self.changes = changes
        self.versions = [change.slot.version for change in changes]
        bounds = [
            made_by.get(change.event.command_id, (LONG_AGO_NS, NEVER_NS)) for change in changes
        ]
        self.earliest_ns = list(accumulate((invoke for invoke, _ in bounds), max))
        self.latest_ns = list(accumulate((answer for _, answer in reversed(bounds)), min))[::-1]

    def index(self, version: int) -> int | None:
        at = bisect_left(self.versions, version)
        return at if at < len(self.versions) and self.versions[at] == version else None


class Truth:
    """The log of some slots together with the operations that made it."""

    def __init__(self, operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> None:
        made_by: dict[str, tuple[int, int]] = {}
        for operation in operations:
            if operation.key is None or operation.op == "look":
                continue
            invoke_ns, return_ns = made_by.get(operation.key, (NEVER_NS, NEVER_NS))
            answered_ns = operation.return_ns if operation.outcome == "ok" else NEVER_NS
            made_by[operation.key] = (
                min(invoke_ns, operation.invoke_ns),
                min(return_ns, answered_ns),
            )
        changes: dict[str, list[Change]] = defaultdict(list)
        for event in events:
            for slot in event.slots:
                changes[slot.slot_id].append(Change(event=event, slot=slot))
        self._slots = {
            slot_id: _SlotTruth(sorted(of_slot, key=lambda c: c.slot.version), made_by)
            for slot_id, of_slot in changes.items()
        }

    @property
    def slot_ids(self) -> list[str]:
        """The slots the log knows."""
        return list(self._slots)

    def changes(self, slot_id: str) -> list[Change]:
        """Its versions in order."""
        return self._slots[slot_id].changes if slot_id in self._slots else []

    def change(self, slot_id: str, version: int) -> Change | None:
        """That version; None when the log does not have it."""
        slot = self._slots.get(slot_id)
        at = slot.index(version) if slot is not None else None
        return slot.changes[at] if slot is not None and at is not None else None

    def earliest_commit_ns(self, slot_id: str, version: int) -> int:
        """Not before this moment was that version committed."""
        slot = self._slots.get(slot_id)
        at = slot.index(version) if slot is not None else None
        return slot.earliest_ns[at] if slot is not None and at is not None else LONG_AGO_NS

    def latest_commit_ns(self, slot_id: str, version: int) -> int:
        """By this moment that version was certainly committed; NEVER_NS when nobody can tell, or there is none."""
        slot = self._slots.get(slot_id)
        at = slot.index(version) if slot is not None else None
        return slot.latest_ns[at] if slot is not None and at is not None else NEVER_NS

    def committed_before(self, slot_id: str, moment_ns: int) -> int:
        """The highest version that was certainly committed by then; 0 without one."""
        slot = self._slots.get(slot_id)
        if slot is None:
            return 0
        # Upper bounds grow with the version, because each is the least of all later returns.
        at = bisect_left(slot.latest_ns, moment_ns)
        return slot.versions[at - 1] if at else 0
