"""Builders: a log with events in it and a stream that copies it, as the write side would leave them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import nats
from nats.aio.client import Client
from nats.js.api import StreamConfig

from booking.events.messages import Heartbeat
from booking.events.subjects import LOG_HEAD, STREAM, event_subject, stream_subjects
from projector.log_reader import READ_HEAD, read_payloads

APPEND = """
INSERT INTO booking.event_log ("position", event_id, type, recorded_at, actor, command_id,
    booking_id, resource_id, slot_ids, slots, data, schema)
SELECT $1, uuidv7(), $2, $3, 'a test', 'command', $4, $5, $6, $7::json, $8::json, $9
"""
MOVE_HEAD = """
UPDATE booking.log_head SET "position" = "position" + 1,
    recorded_at = greatest(recorded_at, clock_timestamp())
RETURNING "position", recorded_at
"""

POLICY = {
    "hold_seconds": 900,
    "units_per_booking_max": None,
    "units_per_customer_max": None,
    "overbooking_units": 0,
}


class TheLog:
    """Appends facts; keeps the state of slots and bookings that the next event must carry."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.position = 0
        self._slots: dict[UUID, dict] = {}
        self._bookings: dict[UUID, dict] = {}

    async def append(
        self, kind, data, *, booking_id=None, resource_id=None, slots=(), slot_ids=None, schema=1
    ) -> int:
        """Append a fact; `data` and `slots` may be JSON text, so that they may be nonsense."""
        if slot_ids is None:
            slot_ids = [slot["slot_id"] for slot in slots]
        if not isinstance(slots, str):
            slots = msgspec.json.encode(list(slots)).decode()
        async with self.pool.acquire() as connection, connection.transaction():
            self.position, at = await connection.fetchrow(MOVE_HEAD)
            await connection.execute(
                APPEND,
                self.position,
                kind,
                at,
                booking_id,
                resource_id,
                slot_ids,
                slots,
                data if isinstance(data, str) else msgspec.json.encode(data).decode(),
                schema,
            )
        return self.position

    async def resource(self, name="Hall A") -> UUID:
        resource_id = uuid4()
        data = {
            "resource_id": resource_id,
            "name": name,
            "time_zone": "Europe/Amsterdam",
            "policy": POLICY,
            "version": 1,
        }
        await self.append("ResourceCreated", data, resource_id=resource_id)
        return resource_id

    async def slot(self, resource_id=None, *, capacity=100, in_days=1, data=None) -> UUID:
        slot_id = uuid4()
        starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=in_days)
        self._slots[slot_id] = {
            "slot_id": slot_id,
            "resource_id": resource_id or uuid4(),
            "units": 0,
            "version": 0,
            "state": "open",
            "capacity": capacity,
            "overbooking_units": 0,
            "held": 0,
            "confirmed": 0,
            "remaining": capacity,
        }
        data = data or {"starts_at": starts_at, "ends_at": starts_at + timedelta(hours=3)}
        await self.append("SlotOpened", data, slots=[self.touch(slot_id)])
        return slot_id

    async def close(self, slot_id) -> int:
        self._slots[slot_id]["state"] = "closed"
        return await self.append("SlotClosed", {}, slots=[self.touch(slot_id)])

    async def hold(self, *slot_ids, units=1, customer_id=None) -> UUID:
        return await self._take("HoldPlaced", "held", slot_ids, units, customer_id)

    async def book(self, *slot_ids, units=1, customer_id=None) -> UUID:
        return await self._take("BookingConfirmed", "confirmed", slot_ids, units, customer_id)

    async def confirm(self, booking_id) -> int:
        booking = self._bookings[booking_id]
        booking.update(
            before=booking["state"],
            state="confirmed",
            version=booking["version"] + 1,
            expires_at=None,
        )
        slots = [
            self.touch(line["slot_id"], held=-line["units"], confirmed=line["units"])
            for line in booking["lines"]
        ]
        return await self.append("BookingConfirmed", booking, booking_id=booking_id, slots=slots)

    async def cancel(self, booking_id) -> int:
        booking = self._bookings[booking_id]
        column = "held" if booking["state"] == "held" else "confirmed"
        slots = [
            self.touch(line["slot_id"], **{column: -line["units"]}) for line in booking["lines"]
        ]
        booking.update(before=booking["state"], state="cancelled", version=booking["version"] + 1)
        data = {name: booking[name] for name in ("state", "version", "before")}
        return await self.append("BookingCancelled", data, booking_id=booking_id, slots=slots)

    def truth(self) -> dict[str, set[tuple]]:
        """What a fold of the whole log says of slots, bookings and their lines."""
        slot = ("slot_id", "state", "capacity", "held", "confirmed", "version")
        bookings = self._bookings.items()
        return {
            "slots": {tuple(s[name] for name in slot) for s in self._slots.values()},
            "bookings": {(i, b["customer_id"], b["state"], b["version"]) for i, b in bookings},
            "lines": {
                (i, line["slot_id"], line["units"]) for i, b in bookings for line in b["lines"]
            },
        }

    async def _take(self, kind, state, slot_ids: Sequence[UUID], units, customer_id) -> UUID:
        booking_id = uuid4()
        column = "held" if state == "held" else "confirmed"
        expires_at = datetime.now(UTC) + timedelta(minutes=15) if state == "held" else None
        self._bookings[booking_id] = {
            "customer_id": customer_id or uuid4(),
            "state": state,
            "version": 1,
            "expires_at": expires_at,
            "lines": [{"slot_id": slot_id, "units": units} for slot_id in sorted(slot_ids)],
            "before": None,
        }
        slots = [self.touch(slot_id, **{column: units}) for slot_id in sorted(slot_ids)]
        await self.append(kind, self._bookings[booking_id], booking_id=booking_id, slots=slots)
        return booking_id

    def touch(self, slot_id, *, held=0, confirmed=0) -> dict:
        slot = self._slots[slot_id]
        slot["held"] += held
        slot["confirmed"] += confirmed
        slot["remaining"] -= held + confirmed
        slot["units"] = held + confirmed
        slot["version"] += 1
        return dict(slot)


class TheStream:
    """A stream that copies the log, message by message, as far as a test wants it to."""

    def __init__(self, client: Client, url: str, log: asyncpg.Pool) -> None:
        self.client = client
        self.url = url
        self._log = log
        self._copied = 0

    @classmethod
    async def at(cls, url: str, log: asyncpg.Pool) -> "TheStream":
        client = await nats.connect(url)
        self = cls(client, url, log)
        await self.create()
        return self

    async def epoch(self) -> UUID:
        return (await self._log.fetchrow(READ_HEAD))["epoch"]

    async def create(self, *, first_seq: int = 1) -> None:
        epoch = await self.epoch()
        config = StreamConfig(name=STREAM, subjects=[stream_subjects(epoch)], first_seq=first_seq)
        await self.client.jetstream().add_stream(config)
        self._copied = first_seq - 1

    async def delete(self) -> None:
        await self.client.jetstream().delete_stream(STREAM)

    async def copy(self) -> int:
        """Copy what the log has beyond the stream's end; returns the last sequence."""
        epoch = await self.epoch()
        for position, payload in await read_payloads(
            self._log, epoch=epoch, after=self._copied, limit=100_000
        ):
            subject = event_subject(epoch, None, "Any")
            ack = await self.client.jetstream().publish(subject, payload)
            assert ack.seq == position
            self._copied = position
        return self._copied

    async def publish(self, payload: bytes) -> int:
        """Store bytes that nobody copied from the log; returns their sequence."""
        subject = event_subject(await self.epoch(), None, "Any")
        return (await self.client.jetstream().publish(subject, payload)).seq

    async def heartbeat(self) -> Heartbeat:
        head = await self._log.fetchrow(READ_HEAD)
        heartbeat = Heartbeat(epoch=head["epoch"], position=head["position"], at=head["at"])
        await self.client.publish(LOG_HEAD, msgspec.json.encode(heartbeat))
        return heartbeat

    async def say(self, *, position: int, at: datetime, epoch: UUID | str | None = None) -> None:
        """A heartbeat of our own making."""
        epoch = UUID(str(epoch or await self.epoch()))
        heartbeat = Heartbeat(epoch=epoch, position=position, at=at)
        await self.client.publish(LOG_HEAD, msgspec.json.encode(heartbeat))
