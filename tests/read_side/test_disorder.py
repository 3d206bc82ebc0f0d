"""Messages that come twice, late, never or from nowhere: the read model is the fold of the log."""

import random

import pytest
from at_work import projecting
from disorder import Disorder
from eventually import eventually

SLOTS = "SELECT slot_id, state, capacity, held, confirmed, version FROM read_model.slot"
BOOKINGS = "SELECT booking_id, customer_id, state, version FROM read_model.booking"
LINES = "SELECT booking_id, slot_id, units FROM read_model.booking_line"


async def the_view(owner):
    return {
        "slots": {tuple(row) for row in await owner.fetch(SLOTS)},
        "bookings": {tuple(row) for row in await owner.fetch(BOOKINGS)},
        "lines": {tuple(row) for row in await owner.fetch(LINES)},
    }


async def some_business(log, chance, slots) -> None:
    """Bookings that are made, confirmed and cancelled, among slots that are closed."""
    for _ in range(chance.randrange(5, 25)):
        match chance.randrange(6):
            case 0:
                slots.append(await log.slot(capacity=chance.randrange(50, 90)))
            case 1 | 2:
                await log.hold(*chance.sample(slots, k=min(2, len(slots))))
            case 3:
                await log.confirm(await log.hold(chance.choice(slots), units=2))
            case 4:
                await log.cancel(await log.book(chance.choice(slots), units=3))
            case 5:
                await log.close(chance.choice(slots))


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_disorder_the_read_model_is_the_fold_of_the_log(
    log, owner, stream, writer, seed
):
    chance = random.Random(seed)  # noqa: S311  the same story in every run
    async with projecting(writer, stream.url) as projector:
        disorder = projector.stream.arrived = Disorder(seed)
        slots = [await log.slot()]
        for _ in range(3):
            await some_business(log, chance, slots)
            await stream.copy()

            async def there() -> bool:
                done = await owner.fetchval("SELECT position FROM read_model.checkpoint")
                return done == log.position

            await eventually(there, within_s=10, because=f"seed {seed}: it has caught up")
            assert await the_view(owner) == log.truth(), f"seed {seed}"
        assert set(disorder.done) == {"lost", "repeated", "invented"}
    assert await owner.fetchval("SELECT count(*) FROM read_model.dead_letter") == 0


async def test_without_versions_and_order_the_same_disorder_leaves_a_drift_that_never_heals(
    log, owner, stream, writer
):
    slots = [await log.slot() for _ in range(3)]
    async with projecting(writer, stream.url, guard="last_arrival_wins") as projector:

        async def reached() -> bool:
            done = await owner.fetchval("SELECT position FROM read_model.checkpoint")
            return done == log.position

        await stream.copy()
        await eventually(reached)
        disorder = projector.stream.arrived = Disorder(1, lose=0.0, invent=0.0)
        for _ in range(40):
            await log.confirm(await log.hold(slots[0]))
        await stream.copy()
        await eventually(lambda: disorder.done.count("repeated") > 10)
        disorder.calm = True
        for slot_id in slots:  # all is in order again, and every slot is touched once more
            await log.close(slot_id)
        await stream.copy()
        await eventually(reached)
        assert (await the_view(owner))["slots"] != log.truth()["slots"]
        held, confirmed = await owner.fetchrow(
            "SELECT held, confirmed FROM read_model.slot WHERE slot_id = $1", slots[0]
        )
        assert (held, confirmed) != (0, 40)
