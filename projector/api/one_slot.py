"""One slot, the read asked for most: from memory, with as little work per request as can be.

Without conditions everything but the age is at hand as bytes. With conditions, or when the slot is
not in memory, it is read and judged like any other entity.
"""

from functools import partial
from uuid import UUID

import msgspec

from booking.edge.answers import Answer
from booking.edge.requests import StrictRequest
from booking.events.tokens import Token
from projector.api.answers import CACHE_CONTROL, VARY
from projector.api.conditions import NOTHING_ASKED, read_conditions
from projector.api.wait import Reader
from projector.api.window import Window
from projector.queries.standing import Standing
from projector.queries.write_tables import WriteTables
from projector.replica.slots import ReplicatedSlots

_encode = msgspec.json.Encoder().encode

_LEVEL = (b"consistency-level", b"eventual")


class OneSlot:
    """Answers `/v1/slots/{slot_id}`."""

    def __init__(self, window: Window, reader: Reader, slots: ReplicatedSlots) -> None:
        self._window = window
        self._reader = reader
        self._slots = slots
        self._of: Standing | None = None
        self._end = b""
        self._token = (b"", b"")

    async def show(self, request: StrictRequest, slot_id: UUID) -> Answer:
        """The slot, 304 when the caller has this version, 404 when there is none."""
        reader = self._reader
        if read_conditions(request.scope, reader.tokens.codec) is NOTHING_ASKED:
            there = self._slots.held(slot_id)
            if there is not None and there[0].version:
                held, of = there
                if of is not self._of:
                    self._turn_to(of)
                age_ms = reader.age_ms(of.as_of)
                suspect = b"true" if held.suspect else b"false"
                body = b'%b,"suspect":%b%b' % (held.json, suspect, self._end)
                etag = (b"etag", b'"%d"' % held.version)
                if age_ms is None:
                    timing = [(b"server-timing", b"wait;dur=0.0")]
                else:
                    reader.metrics.age["eventual"].observe(age_ms / 1000)
                    timing = [
                        (b"age", b"%d" % (age_ms // 1000)),
                        (b"server-timing", b"lag;dur=%.1f, wait;dur=0.0" % age_ms),
                    ]
                said = (CACHE_CONTROL, VARY, self._token, _LEVEL, *timing, etag)
                return Answer(200, body, said)
        return await self._window.show(request, "slot", slot_id, partial(self._slots.find, slot_id))

    def _turn_to(self, of: Standing) -> None:
        """What every answer of one position has in common."""
        self._of = of
        self._end = b',"position":%d,"as_of":%b}' % (of.position, _encode(of.as_of))
        token = self._reader.tokens.encoded(Token(of.epoch, of.position))
        self._token = (b"consistency-token", token)


class OneSlotOfTheWriteTables:
    """Answers `/v1/slots/{slot_id}` in the laboratory's CRUD arm: a statement for each request."""

    def __init__(self, window: Window, tables: WriteTables) -> None:
        self._window = window
        self._tables = tables

    async def show(self, request: StrictRequest, slot_id: UUID) -> Answer:
        """The slot, 304 when the caller has this version, 404 when there is none."""
        query = partial(self._tables.find_slot, slot_id)
        return await self._window.show(request, "slot", slot_id, query)
