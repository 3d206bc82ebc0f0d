"""Who follows which slot: a change is told to those it concerns, whatever their number.

Ten thousand idle streams cost a batch nothing; a slot that many follow is encoded once for all.
"""

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Protocol
from uuid import UUID

from projector.replica.memory import Told


class Watcher(Protocol):
    """Somebody who follows some slots, or all of a resource."""

    slot_ids: Sequence[UUID]
    resource_id: UUID | None

    def changed(self, told: Told, position: int) -> None:
        """One of its slots changed, with the batch that ended at `position`."""

    def missed(self, position: int) -> None:
        """Changes up to `position` may have been missed: only reading all of it again helps."""


class Watchers:
    """Everybody who follows something on this node."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._all: dict[Watcher, int] = {}  # in the order they came, each with its number
        self._by_slot: dict[UUID, set[Watcher]] = {}
        self._by_resource: dict[UUID, set[Watcher]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._all)

    @property
    def slot_ids(self) -> Iterable[UUID]:
        """The slots followed by their id."""
        return self._by_slot.keys()

    @property
    def resource_ids(self) -> Iterable[UUID]:
        """The resources followed as a whole."""
        return self._by_resource.keys()

    def newest(self) -> int:
        """The number of who came last; 0 when nobody is there."""
        return next(reversed(self._all.values()), 0)

    def add(self, watcher: Watcher) -> None:
        """From now on it is told."""
        self._all[watcher] = next(self._numbers)
        for slot_id in watcher.slot_ids:
            self._by_slot.setdefault(slot_id, set()).add(watcher)
        if watcher.resource_id is not None:
            self._by_resource.setdefault(watcher.resource_id, set()).add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """No longer."""
        if self._all.pop(watcher, None) is None:
            return
        for slot_id in watcher.slot_ids:
            _leave(self._by_slot, slot_id, watcher)
        if watcher.resource_id is not None:
            _leave(self._by_resource, watcher.resource_id, watcher)

    def tell(self, changes: Iterable[Told], position: int) -> None:
        """Tell each change to those it concerns."""
        if not self._all:
            return
        for told in changes:
            for watcher in self._by_slot.get(told.slot.slot_id, ()):
                watcher.changed(told, position)
            for watcher in self._by_resource.get(told.slot.resource_id, ()):
                watcher.changed(told, position)

    def tell_missed(self, position: int, *, after: int = 0) -> None:
        """Tell those who came after the one of this number that they may have missed something."""
        for watcher, number in reversed(self._all.items()):
            if number <= after:
                return
            watcher.missed(position)


def _leave(watchers: dict[UUID, set[Watcher]], key: UUID, watcher: Watcher) -> None:
    there = watchers[key]
    there.discard(watcher)
    if not there:
        del watchers[key]
