"""The projector: in order, once, from the stream or from the log, and never two at a time."""

from eventually import eventually


async def view(owner) -> dict[str, list[dict]]:
    """All rows of the read model, comparable."""
    return {
        table: [
            dict(row)
            for row in await owner.fetch(f"SELECT * FROM read_model.{table} ORDER BY 1, 2")
        ]
        for table in ("resource", "slot", "booking", "booking_line")
    }


async def at_position(owner, position: int):
    async def there() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.checkpoint") == position

    await eventually(there, because=f"the checkpoint stands at {position}")


async def test_a_booked_place_is_no_longer_offered_and_a_cancelled_one_is_again(
    log, stream, projector, owner
):
    slot_id = await log.slot(await log.resource(), capacity=3)
    booking_id = await log.hold(slot_id, units=2)
    await stream.copy()
    await at_position(owner, log.position)
    remaining = "SELECT remaining FROM read_model.slot WHERE slot_id = $1"
    assert await owner.fetchval(remaining, slot_id) == 1

    await log.cancel(booking_id)
    await stream.copy()
    await at_position(owner, log.position)
    assert await owner.fetchval(remaining, slot_id) == 3
