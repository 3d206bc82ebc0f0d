"""A resource can be followed as a whole up to a size that one snapshot can carry."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from at_work import answering
from eventually import eventually
from test_live_stream import following

from booking.events.messages import Changes
from booking.events.subjects import AVAILABILITY_CHANGES
from projector.api import live
from projector.app import part_on_paper

API_PAGE = Path(__file__).parents[2] / "docs/api.md"


@pytest.fixture
def two_at_most(monkeypatch) -> None:
    monkeypatch.setattr(live, "SLOTS_MAX", 2)


async def hall_of(log, stream, api, number: int):
    """A resource with so many slots, once the query node knows them."""
    hall = await log.resource()
    slots = [await log.slot(hall) for _ in range(number)]
    await stream.copy()
    await shown(api, slots[-1])
    return hall, slots


async def shown(api, slot_id) -> None:
    async def there() -> bool:
        return (await api.get(f"/v1/slots/{slot_id}")).status_code == 200

    await eventually(there)


async def test_a_resource_of_too_many_slots_is_followed_slot_by_slot(two_at_most, log, stream, api):
    hall, slots = await hall_of(log, stream, api, 3)
    refused = await api.get(f"/v1/availability/stream?resource_id={hall}")
    assert refused.status_code == 400
    assert refused.json()["type"] == "/problems/invalid-parameter"
    assert "more than 2 slots" in refused.json()["detail"]
    assert "slot_id" in refused.json()["detail"]
    async with following(api, f"slot_id={','.join(map(str, slots))}") as next_event:
        _, snapshot = await next_event("snapshot")
        assert len(snapshot["slots"]) == 3


async def test_a_resource_of_just_as_many_is_followed_as_a_whole(two_at_most, log, stream, api):
    hall, slots = await hall_of(log, stream, api, 2)
    async with following(api, f"resource_id={hall}") as next_event:
        _, snapshot = await next_event("snapshot")
        assert {slot["slot_id"] for slot in snapshot["slots"]} == set(map(str, slots))


async def test_a_stream_whose_resource_outgrew_it_ends_where_a_snapshot_is_needed(
    two_at_most, log, stream, api, projector
):
    hall, _ = await hall_of(log, stream, api, 2)
    async with following(api, f"resource_id={hall}") as next_event:
        await next_event("snapshot")
        await log.slot(hall)
        await stream.copy()
        await next_event("changes")  # nothing was missed, so nothing has to be read again
        hole = Changes(
            epoch=await stream.epoch(),
            generation=projector.checkpoint.generation,
            previous_position=log.position + 6,
            position=log.position + 7,
            as_of=datetime.now(UTC),
            part=1,
            parts=1,
            slots=[],
        )
        await stream.client.publish(AVAILABILITY_CHANGES, msgspec.json.encode(hole))
        await next_event("bye")
        with pytest.raises(StopAsyncIteration):
            await next_event()


async def test_and_where_more_slots_changed_than_it_may_keep(two_at_most, log, stream, api):
    hall, slots = await hall_of(log, stream, api, 2)
    async with following(api, f"resource_id={hall}") as next_event:
        await next_event("snapshot")
        slots.append(await log.slot(hall))
        await stream.copy()
        await next_event("changes")
        await log.hold(*slots)  # one event, one message, three slots
        await stream.copy()
        await next_event("bye")


async def test_polling_nodes_refuse_it_just_so(two_at_most, log, stream, projector, database_url):
    async with answering(database_url, "", sync="polling", poll_ms=10) as api:
        hall, _ = await hall_of(log, stream, api, 3)
        refused = await api.get(f"/v1/availability/stream?resource_id={hall}")
        assert refused.status_code == 400


def test_the_bound_is_the_one_that_is_documented():
    bound = f"{live.SLOTS_MAX:,} slots"
    (route,) = [h for h in part_on_paper().handlers if "/v1/availability/stream" in h.paths]
    assert bound in route.fn.__doc__
    assert bound in API_PAGE.read_text()
