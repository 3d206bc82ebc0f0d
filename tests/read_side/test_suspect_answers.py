"""What a dead letter concerns is shown as it is known, and never promised to be whole."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import msgspec
from at_work import projecting
from eventually import eventually
from test_live_stream import following
from test_reads import seen, token_of
from test_what_adds_up import slot_at

from projector.consumer.due import Due
from projector.replica.follower import Follower
from projector.replica.memory import Replica
from projector.replica.poll import SlotPoll
from projector.replica.slots import ReplicatedSlots
from projector.replica.watchers import Watchers

LATER = "from=2000-01-01T00:00:00Z&to=2100-01-01T00:00:00Z"


async def kind_of(api, path: str, **headers: str) -> tuple[int, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.get(path, headers=names)
    kind = answer.json().get("type", "").removeprefix("/problems/")
    return answer.status_code, kind or answer.headers["consistency-level"]


async def promised(api, log, path: str) -> set[tuple[int, str]]:
    """What becomes of a read that asks for more than `eventual`, in each way of asking."""
    token = await token_of(log, log.position)
    return {
        await kind_of(api, path, Consistency_Token=token),
        await kind_of(api, path, Cache_Control="max-age=3600"),
        await kind_of(api, path, Cache_Control="no-cache"),
    }


async def spoil(log, *slot_ids, booking_id=None, **data):
    """A hold whose data nobody can take in; its slots are told as ever."""
    slots = [log.touch(slot_id, held=1) for slot_id in slot_ids]
    text = msgspec.json.encode(data | {"state": "held"}).decode()
    return await log.append("HoldPlaced", text, booking_id=booking_id or uuid4(), slots=slots)


REFUSED = {(412, "suspect")}
KEPT = {(200, "session"), (200, "bounded"), (200, "strong")}


async def test_a_suspect_slot_is_shown_but_not_promised(log, stream, api):
    hall, annex = await log.resource(), await log.resource("Annex")
    slot, other = await log.slot(hall), await log.slot(hall)
    await log.slot(annex)
    await spoil(log, slot)
    await stream.copy()
    plain = await seen(api, f"/v1/slots/{slot}", log.position)
    assert (plain.status_code, plain.json()["suspect"]) == (200, True)
    assert plain.headers["consistency-level"] == "eventual"
    for path in (
        f"/v1/slots/{slot}",
        f"/v1/slots/{slot}/history",
        f"/v1/availability?resource_id={hall}",
        f"/v1/availability?resource_id={hall}&by=day",
        f"/v1/activity?resource_id={hall}",
        f"/v1/resources/{hall}/overview",
    ):
        assert await promised(api, log, path) == REFUSED, path
        assert (await kind_of(api, path)) == (200, "eventual")
    for path in (
        f"/v1/slots/{other}",
        f"/v1/resources/{hall}",
        f"/v1/availability?resource_id={annex}",
        f"/v1/resources/{annex}/overview",
    ):
        assert await promised(api, log, path) == KEPT, path
    page = (await api.get(f"/v1/availability?resource_id={hall}")).json()
    assert {s["slot_id"]: s["suspect"] for s in page["slots"]} == {
        str(slot): True,
        str(other): False,
    }
    token = await token_of(log, 1)
    refused = await api.get(f"/v1/slots/{slot}", headers={"Consistency-Token": token})
    assert int(refused.headers["retry-after"]) >= 1
    assert {"position", "as_of"} <= refused.json().keys()
    assert "age" in refused.headers
    lenient = await api.get(
        f"/v1/slots/{slot}", headers={"Consistency-Token": token, "Prefer": "handling=lenient"}
    )
    assert (lenient.status_code, lenient.headers["consistency-level"]) == (200, "eventual")


async def test_a_slot_is_promised_again_once_a_newer_event_says_its_whole_state(log, stream, api):
    hall = await log.resource()
    slot = await log.slot(hall)
    await spoil(log, slot)
    await log.hold(slot)
    await stream.copy()
    await seen(api, f"/v1/slots/{slot}", log.position)
    assert await promised(api, log, f"/v1/slots/{slot}") == KEPT
    assert await promised(api, log, f"/v1/availability?resource_id={hall}") == KEPT
    # But what was not counted is not counted by what comes later.
    assert await promised(api, log, f"/v1/resources/{hall}/overview") == REFUSED


async def test_that_a_lost_slot_is_not_there_is_not_promised(log, stream, api):
    hall = await log.resource()
    slot = await slot_at(log, hall, "no time")  # its opening cannot be taken in
    await stream.copy()
    await seen(api, f"/v1/slots/{slot}", log.position)
    assert await kind_of(api, f"/v1/slots/{slot}") == (404, "slot-not-found")
    assert await promised(api, log, f"/v1/slots/{slot}") == REFUSED
    assert await promised(api, log, f"/v1/availability?resource_id={hall}&{LATER}") == REFUSED


async def test_a_lost_booking_makes_the_lists_suspect_that_it_should_stand_in(log, stream, api):
    anna, bob = uuid4(), uuid4()
    slot, other = await log.slot(), await log.slot()
    await log.hold(slot, customer_id=bob)
    booking_id = uuid4()
    await spoil(log, slot, booking_id=booking_id, customer_id=anna)
    await log.hold(slot, other, customer_id=bob)  # so the slot itself is known again
    await stream.copy()
    await seen(api, f"/v1/slots/{slot}", log.position)
    for path in (
        f"/v1/bookings/{booking_id}",
        f"/v1/bookings/{booking_id}/history",
        f"/v1/bookings?customer_id={anna}",
        f"/v1/bookings?slot_id={slot}",
    ):
        assert await promised(api, log, path) == REFUSED, path
    assert await kind_of(api, f"/v1/bookings/{booking_id}") == (404, "booking-not-found")
    for path in (f"/v1/bookings?customer_id={bob}", f"/v1/bookings?slot_id={other}"):
        assert await promised(api, log, path) == KEPT, path


async def test_a_booking_of_a_slot_whose_opening_was_lost_lacks_a_line_and_says_so(
    log, stream, api
):
    anna, hall = uuid4(), await log.resource()
    lost, slot = await slot_at(log, hall, "no time"), await log.slot(hall)
    booking_id = await log.hold(lost, slot, customer_id=anna)
    sound = await log.hold(slot, customer_id=anna)
    await stream.copy()
    one = (await seen(api, f"/v1/bookings/{booking_id}", log.position)).json()
    assert [line["slot_id"] for line in one["lines"]] == [str(slot)]
    assert one["suspect"]
    for path in (f"/v1/bookings/{booking_id}", f"/v1/bookings?customer_id={anna}"):
        assert await promised(api, log, path) == REFUSED, path
    assert await promised(api, log, f"/v1/bookings/{sound}") == KEPT


async def test_a_booking_whose_end_was_lost_is_suspect_wherever_it_stands(log, stream, api):
    anna = uuid4()
    slot = await log.slot()
    booking_id = await log.hold(slot, customer_id=anna)
    await log.append("HoldReleased", {"state": "released"}, booking_id=booking_id, slots=[])
    await stream.copy()
    one = (await seen(api, f"/v1/bookings/{booking_id}", log.position)).json()
    assert (one["state"], one["suspect"]) == ("held", True)
    for path in (f"/v1/bookings?customer_id={anna}", f"/v1/bookings?slot_id={slot}"):
        listed = (await api.get(path)).json()["bookings"]
        assert [b["suspect"] for b in listed] == [True]
        assert await promised(api, log, path) == REFUSED, path


async def test_a_resource_whose_policy_was_lost_is_not_promised(log, stream, api):
    hall = await log.resource()
    await log.append("PolicyChanged", {"resource_id": hall, "version": 2}, resource_id=hall)
    await stream.copy()
    await seen(api, f"/v1/resources/{hall}", log.position)
    assert await promised(api, log, f"/v1/resources/{hall}") == REFUSED
    assert await kind_of(api, f"/v1/resources/{hall}") == (200, "eventual")


async def opened(api, query: str, **headers: str) -> tuple[int, str]:
    """What becomes of a stream that is asked for: its status, and the problem if it is one."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.stream("GET", f"/v1/availability/stream?{query}", headers=names) as answer:
        if answer.status_code == 200:
            return 200, ""
        await answer.aread()
        return answer.status_code, answer.json()["type"].removeprefix("/problems/")


async def test_a_live_stream_of_what_is_suspect_is_opened_but_not_promised(log, stream, api):
    hall, annex = await log.resource(), await log.resource("Annex")
    slot, other = await log.slot(hall), await log.slot()
    lost = await slot_at(log, annex, "no time")  # its opening cannot be taken in
    await spoil(log, slot)
    await stream.copy()
    await seen(api, f"/v1/slots/{other}", log.position)
    token = await token_of(log, log.position)
    asked_for_more = (
        {"Consistency_Token": token},
        {"Consistency_Token": token, "Last_Event_ID": token},
        {"Cache_Control": "max-age=3600"},
    )
    by_itself = (
        {},
        {"Cache_Control": "no-cache"},
        {"Cache_Control": "no-cache", "Last_Event_ID": token},
    )
    for query in (
        f"slot_id={slot}",
        f"slot_id={other},{slot}",
        f"slot_id={lost}",
        f"resource_id={hall}",
        f"resource_id={annex}",
    ):
        for headers in asked_for_more:
            assert await opened(api, query, **headers) == (412, "suspect"), query
        for headers in by_itself:  # a browser would not come again after a refusal
            assert await opened(api, query, **headers) == (200, ""), query
        assert await opened(api, f"{query}&token={token}") == (200, "")
        assert await opened(api, query, Consistency_Token=token, Prefer="handling=lenient") == (
            200,
            "",
        )
    for headers in asked_for_more:
        assert await opened(api, f"slot_id={other}", **headers) == (200, "")


async def test_a_stream_that_is_open_goes_on_and_its_snapshots_say_what_is_suspect(
    log, stream, api
):
    hall = await log.resource()
    slot, other = await log.slot(hall), await log.slot(hall)
    await stream.copy()
    await seen(api, f"/v1/slots/{slot}", log.position)

    async def snapshot_says(next_event, expected: dict) -> None:
        said = None
        while said != {str(slot_id): suspect for slot_id, suspect in expected.items()}:
            _, snapshot = await next_event("snapshot")
            said = {one["slot_id"]: one.get("suspect") for one in snapshot["slots"]}

    async with (
        following(api, f"slot_id={slot},{other}") as of_slots,
        following(api, f"resource_id={hall}") as of_hall,
    ):
        for next_event in (of_slots, of_hall):
            await snapshot_says(next_event, {slot: False, other: False})
        await spoil(log, slot)
        await stream.copy()
        for next_event in (of_slots, of_hall):
            await snapshot_says(next_event, {slot: True, other: False})
        await log.hold(slot)  # says its whole state
        await stream.copy()
        for next_event in (of_slots, of_hall):
            await snapshot_says(next_event, {slot: False, other: False})


async def test_memory_and_tables_tell_a_stream_the_same_of_what_is_suspect(log, writer, owner):
    slot, other = await log.slot(), await log.slot()
    lost = await slot_at(log, None, "no time")
    await spoil(log, slot)
    async with projecting(writer, None, poll_s=0.01) as projector:
        await eventually(lambda: projector.checkpoint.position == log.position)
    follower = Follower(Replica(), Watchers(), Due(timedelta(0), lambda: datetime.now(UTC)))
    slots = ReplicatedSlots(owner, follower.replica, follower.due)
    await SlotPoll(follower, owner, every_s=60).run_once()
    for slot_ids, suspect in (([other, slot], True), ([other, lost], True), ([other], False)):
        follower.replica.drop()
        from_tables = await slots.find_all(slot_ids)
        misses = follower.replica.misses
        from_memory = await slots.find_all(slot_ids)
        assert follower.replica.misses == misses
        assert (from_tables.suspect, from_memory.suspect) == (suspect, suspect)
        assert from_tables.value == from_memory.value
        told = [msgspec.json.decode(one + b"}") for one in from_memory.value]
        assert [one["suspect"] for one in told] == [one["slot_id"] == str(slot) for one in told]
