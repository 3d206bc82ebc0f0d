"""The change feed: complete, in parts that fit, and never the only way to hear of a change."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from uuid import uuid4

import msgspec
import nats
from eventually import eventually

from booking.events.messages import Changes, SlotState
from booking.events.subjects import AVAILABILITY_CHANGES
from booking.events.tokens import TokenCodec
from projector.consumer.announce import messages
from projector.guards.checkpoint_compare_and_set import Checkpoint

NATS_MESSAGE_MAX = 1024 * 1024


def a_slot() -> SlotState:
    longest = 2**31 - 1
    now = datetime.now(UTC)
    return SlotState(
        slot_id=uuid4(),
        resource_id=uuid4(),
        starts_at=now,
        ends_at=now,
        state="closed",
        capacity=longest,
        overbooking_units=longest,
        held=longest,
        confirmed=longest,
        remaining=-longest,
        version=2**63 - 1,
    )


def test_a_large_batch_is_told_in_parts_that_nats_carries():
    checkpoint = Checkpoint(
        epoch=uuid4(),
        position=2500,
        event_id=uuid4(),
        as_of=datetime.now(UTC),
        generation=1,
        state="running",
    )
    told = messages(0, checkpoint, [a_slot() for _ in range(2500)])
    assert max(map(len, told)) < NATS_MESSAGE_MAX
    parts = [msgspec.json.decode(message, type=Changes) for message in told]
    assert [(part.part, part.parts, len(part.slots)) for part in parts] == [
        (1, 3, 1000),
        (2, 3, 1000),
        (3, 3, 500),
    ]


async def test_each_batch_continues_the_one_before_and_idle_ones_are_told_too(
    log, stream, projector
):
    heard: list[Changes] = []

    async def hear(message) -> None:
        heard.append(msgspec.json.decode(message.data, type=Changes))

    client = await nats.connect(stream.url)
    await client.subscribe(AVAILABILITY_CHANGES, cb=hear)
    await client.flush()
    for _ in range(3):
        await log.slot()
        await stream.copy()
    await eventually(lambda: heard and heard[-1].position == 3 and not heard[-1].slots)
    await client.close()
    for before, after in pairwise(heard):
        assert after.previous_position == before.position
        assert after.as_of >= before.as_of
    assert sum(len(changes.slots) for changes in heard) <= 3


async def test_without_nats_a_waiting_read_is_still_answered(log, stream, fresh_nats, api, owner):
    slot_id = await log.slot()
    await stream.copy()
    await eventually(lambda: api.get(f"/v1/slots/{slot_id}"))
    await stream.client.close()
    await fresh_nats.stop()
    await log.hold(slot_id)
    row = await owner.fetchrow("SELECT secret, epoch FROM published.token_secret, published.head")
    token = TokenCodec(row["secret"]).encode(row["epoch"], 2)
    async with asyncio.timeout(10):
        answer = await api.get(
            f"/v1/slots/{slot_id}", headers={"Consistency-Token": token, "Prefer": "wait=10"}
        )
    assert answer.status_code == 200
    assert answer.json()["version"] == 2
