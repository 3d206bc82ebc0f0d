"""The replica: slots in memory on a query node, each in the newest version this node has heard of.

What it holds is exactly what the read model held at its own position, or nothing: a slot comes in by
a fill from the tables, is kept up by the change feed, and everything goes when a change may have been
missed. It knows no clock, no database and no network; who drives it says what was heard, in order.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self
from uuid import UUID

import msgspec
from msgspec import Struct

from booking.events.messages import SlotState
from projector.queries.standing import Standing
from projector.replica.rules import Rules

SLOTS_MAX = 250_000
"""At 0.55 kB each some 140 MB; the one not read for longest goes first."""
FREED_MAX = 2_000
"""Slots; about a millisecond of work."""

_encode = msgspec.json.Encoder().encode


class Told:
    """One slot as a change tells it; encoded once, for whoever keeps it and all who are sent it."""

    __slots__ = ("_json", "slot")

    def __init__(self, slot: SlotState) -> None:
        self.slot = slot
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The slot's members as JSON, the object left open for more."""
        if self._json is None:
            self._json = open_json(self.slot)
        return self._json


def open_json(slot: SlotState) -> bytes:
    """The members of a slot as JSON, without the closing brace."""
    return _encode(slot)[:-1]


class Held(Struct, frozen=True, gc=False):
    """A slot in memory: what is answered, as bytes, and what tells it from a newer one."""

    version: int
    """0: there is no such slot."""
    suspect: bool
    json: bytes
    """Its members, the object left open; empty when there is no such slot."""
    ahead: Standing | None
    """Where the tables stood when it was read, if that is further than this node has heard."""

    @classmethod
    def of(cls, told: Told, *, suspect: bool, ahead: Standing | None = None) -> Self:
        """What is kept of a slot."""
        return cls(told.slot.version, suspect, told.json, ahead)


NO_SUCH_SLOT = Held(0, False, b"", None)


class Fill(Struct, frozen=True, kw_only=True):
    """Slots that are being read from the tables."""

    slot_ids: Sequence[UUID]
    since: int
    """The position this node had heard when it began to keep changes for them."""
    drops: int


class Poll(Struct, frozen=True, kw_only=True):
    """What a poll of the tables asks for: the slots held when it began, newer than these versions."""

    versions: Mapping[UUID, int]
    """0: it was read further than this node has heard, and who follows it was not told by that."""
    kept_before: int
    """How many slots had been kept by then: of later ones it knows nothing."""


class _Awaited:
    """A slot that is being read: by how many, and the newest change heard meanwhile."""

    __slots__ = ("change", "fills")

    def __init__(self) -> None:
        self.fills = 0
        self.change: Told | None = None


Outcome = Literal["kept", "discarded", "read again"]
Heard = Literal["continues", "ignored", "dropped"]


class Replica:
    """The slots of one query node."""

    def __init__(self, *, slots_max: int = SLOTS_MAX, rules: Rules = Rules()) -> None:  # noqa: B008  frozen, so one serves all
        self.standing: Standing | None = None
        self.listening = False
        """Whether every change from here on will be heard, or its absence noticed."""
        self.hits = self.misses = self.drops = self.evicted = 0
        self._slots_max = slots_max
        self._rules = rules
        # By the number of the id: an id's own hash is slow, and a million of them would be objects
        # that the garbage collector looks through.
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._let_go: OrderedDict[int, Held] = OrderedDict()
        self._awaited: dict[UUID, _Awaited] = {}
        self._polled_to = 0
        self._kept = 0
        self._polled = False
        self._kept_lately: deque[tuple[int, int, int]] = deque()

    def __len__(self) -> int:
        """How many slots are held."""
        return len(self._held)

    def find(self, slot_id: UUID) -> Held | None:
        """The slot as of this node's position (or of `ahead`, where that is further); None: not held."""
        key = slot_id.int
        held = self._held.get(key)
        if held is None:
            self.misses += 1
            return None
        self._held.move_to_end(key)
        self.hits += 1
        return held

    def poll(self, *, slots_max: int) -> Poll:
        """Begin a poll of the tables for newer versions of what is held, of so many slots at most."""
        self._polled = True
        while len(self._held) > slots_max:
            self._held.popitem(last=False)
            self.evicted += 1
        position = self.standing.position if self.standing is not None else 0
        versions = {
            UUID(int=key): 0
            if held.ahead is not None and held.ahead.position > position
            else held.version
            for key, held in self._held.items()
        }
        return Poll(versions=versions, kept_before=self._kept)

    def register(self, slot_ids: Sequence[UUID]) -> Fill:
        """Begin to keep changes of these slots, before the tables are read for them."""
        if self._rules.register_first:
            for slot_id in slot_ids:
                self._awaited.setdefault(slot_id, _Awaited()).fills += 1
        since = self.standing.position if self.standing is not None else 0
        return Fill(slot_ids=slot_ids, since=since, drops=self.drops)

    def forget(self, fill: Fill) -> None:
        """End a fill, however it went."""
        for slot_id in fill.slot_ids:
            awaited = self._awaited.get(slot_id)
            if awaited is not None:
                awaited.fills -= 1
                if awaited.fills == 0:
                    del self._awaited[slot_id]

    def fill(
        self, fill: Fill, at: Standing, rows: Mapping[UUID, tuple[Told | None, bool] | None]
    ) -> Outcome:
        """Keep what the tables held at `at`: each slot with whether it is suspect, None: no such slot."""
        rules, standing = self._rules, self.standing
        if standing is None or not self.listening:
            return "discarded"
        same_rows = (at.epoch, at.generation) == (standing.epoch, standing.generation)
        if rules.discard_after_drop and (fill.drops != self.drops or not same_rows):
            return "discarded"
        if rules.read_again and at.position < max(fill.since, self._polled_to):
            return "read again"
        ahead = at if at.position > standing.position else None
        for slot_id, row in rows.items():
            told, suspect = row if row is not None else (None, False)
            if rules.merge_changes:
                awaited = self._awaited.get(slot_id)
                change = awaited.change if awaited is not None else None
                if change is not None and self._is_newer(change, told.slot.version if told else 0):
                    told = change
            if told is None:
                kept = NO_SUCH_SLOT
                if ahead or suspect:
                    kept = msgspec.structs.replace(kept, ahead=ahead, suspect=suspect)
            else:
                kept = Held.of(told, suspect=suspect, ahead=ahead)
            self._keep(slot_id.int, kept, at.position)
        return "kept"

    def hear(
        self,
        now: Standing,
        changes: Iterable[Told],
        *,
        previous: int | None = None,
        poll: Poll | None = None,
    ) -> Heard:
        """Take in a message of the feed, or what a poll of the tables found.

        Args:
            now: where the read model stands with these changes.
            changes: the slots that changed, whole.
            previous: of a message: the position that it continues from.
            poll: what was asked for; a poll misses no change of these slots, but tells of no other.
        """
        before, rules = self.standing, self._rules
        for _ in range(min(FREED_MAX, len(self._let_go))):
            self._let_go.popitem()
        if poll is None:
            self._polled = False
            self._kept_lately.clear()
        else:
            # Even when nothing has moved: else all that is read while the log is quiet would gather.
            self._forget_who_was_asked_for(poll)
        if before is not None and now.epoch < before.epoch:
            return "ignored"
        same_rows = before is not None and (
            (now.epoch, now.generation) == (before.epoch, before.generation)
        )
        self.listening = True
        if before is None or (not same_rows and rules.drop_with_the_generation):
            self.standing = now
            self.drop()
            return "dropped"
        if same_rows and now.position <= before.position and rules.ignore_the_past:
            if now.position == before.position and now.as_of > before.as_of:
                self.standing = now
            return "ignored"
        self.standing = now
        if poll is not None:
            self._let_go_of_what_was_not_asked(poll, now.position)
        elif previous != before.position and rules.drop_at_a_hole:
            self.drop()
            return "dropped"
        for told in changes:
            self._take(told)
        return "continues"

    def silent(self) -> None:
        """Nothing is heard any more: whatever changes now, this replica would not know."""
        if self._rules.drop_in_silence and self.listening:
            self.listening = False
            self.drop()

    def drop(self) -> None:
        """Let go of everything; fills under way will not be kept."""
        self.drops += 1
        # Freed a little with every message: a million at once would hold up every request.
        if len(self._held) > FREED_MAX:
            self._let_go, self._held = self._held, OrderedDict()
        self._held.clear()
        self._kept_lately.clear()
        self._polled_to = 0
        for awaited in self._awaited.values():
            awaited.change = None

    def _take(self, told: Told) -> None:
        slot_id = told.slot.slot_id
        held = self._held.get(slot_id.int)
        if held is not None and self._is_newer(told, held.version):
            self._held[slot_id.int] = Held.of(told, suspect=held.suspect)
        awaited = self._awaited.get(slot_id)
        if awaited is not None and (
            awaited.change is None or self._is_newer(told, awaited.change.slot.version)
        ):
            awaited.change = told

    def _keep(self, key: int, held: Held, position: int) -> None:
        there = self._held.get(key)
        if there is not None and there.version > held.version and self._rules.newer_only:
            return
        self._held[key] = held
        self._held.move_to_end(key)
        self._kept += 1
        if self._polled:
            self._kept_lately.append((self._kept, key, position))
        if len(self._held) > self._slots_max:
            self._held.popitem(last=False)
            self.evicted += 1

    def _forget_who_was_asked_for(self, poll: Poll) -> None:
        while self._kept_lately and self._kept_lately[0][0] <= poll.kept_before:
            self._kept_lately.popleft()

    def _let_go_of_what_was_not_asked(self, poll: Poll, position: int) -> None:
        """Slots read after the poll began and before what it found: changes in between are unknown."""
        self._polled_to = position
        for _, key, kept_at in self._kept_lately:
            if kept_at < position and UUID(int=key) not in poll.versions:
                self._held.pop(key, None)

    def _is_newer(self, told: Told, version: int) -> bool:
        return told.slot.version > version or not self._rules.newer_only
