"""Days, hours, overviews and histories: read models that count, and numbers that agree."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo, available_timezones

import pytest
from test_reads import seen, token_of

from projector.projections.histories import PART
from projector.queries.find_days import ZONE
from projector.queries.find_history import HISTORY_OF_SLOT


async def slot_at(log, resource_id, starts_at, *, capacity=10):
    """A slot that begins at a given moment."""
    slot_id = await log.slot(resource_id, capacity=capacity)
    slot = log._slots[slot_id]
    del log._slots[slot_id]
    slot_id = uuid4()
    log._slots[slot_id] = slot | {"slot_id": slot_id, "version": 0, "units": 0}
    ends_at = starts_at if isinstance(starts_at, str) else starts_at + timedelta(hours=1)
    data = {"starts_at": starts_at, "ends_at": ends_at}
    await log.append("SlotOpened", data, slots=[log.touch(slot_id)])
    return slot_id


async def end(log, booking_id, kind):
    """A hold that is released, or expires."""
    booking = log._bookings[booking_id]
    slots = [log.touch(line["slot_id"], held=-line["units"]) for line in booking["lines"]]
    state = {"HoldReleased": "released", "HoldExpired": "expired"}[kind]
    booking.update(before=booking["state"], state=state, version=booking["version"] + 1)
    data = {name: booking[name] for name in ("state", "version", "before")}
    return await log.append(kind, data, booking_id=booking_id, slots=slots)


async def test_a_day_is_the_date_on_the_wall_there_also_when_it_has_25_hours(log, stream, api):
    hall = await log.resource()  # in Amsterdam, where 2030-10-27 has 25 hours
    amsterdam = ZoneInfo("Europe/Amsterdam")
    midnight = datetime(2030, 10, 27, tzinfo=amsterdam).astimezone(UTC)
    for hours in range(-1, 26):  # one on the day before, 25 on the day, one on the day after
        await slot_at(log, hall, midnight + timedelta(hours=hours), capacity=2)
    await stream.copy()
    query = f"resource_id={hall}&from=2030-10-01T00:00:00Z&by=day"
    page = (await seen(api, f"/v1/availability?{query}", log.position)).json()
    by_date = {day["date"]: day["slots"] for day in page["days"]}
    assert by_date == {"2030-10-26": 1, "2030-10-27": 25, "2030-10-28": 1}

    spring = datetime(2031, 3, 30, tzinfo=amsterdam).astimezone(UTC)  # 23 hours
    for hours in range(24):
        await slot_at(log, hall, spring + timedelta(hours=hours))
    await stream.copy()
    query = f"resource_id={hall}&from=2031-03-01T00:00:00Z&by=day"
    page = (await seen(api, f"/v1/availability?{query}", log.position)).json()
    assert [(day["date"], day["slots"]) for day in page["days"]] == [
        ("2031-03-30", 23),
        ("2031-03-31", 1),
    ]


async def test_a_day_says_what_is_left_and_how_many_slots_fit(log, stream, api):
    hall = await log.resource()
    noon = datetime(2030, 6, 1, 10, tzinfo=UTC)
    small = await slot_at(log, hall, noon, capacity=2)
    large = await slot_at(log, hall, noon + timedelta(hours=1), capacity=9)
    closed = await slot_at(log, hall, noon + timedelta(hours=2), capacity=9)
    await log.hold(small, units=1)
    await log.book(large, units=4)
    await log.close(closed)
    await slot_at(log, hall, noon + timedelta(days=3))
    await stream.copy()
    query = f"resource_id={hall}&from=2030-06-01T00:00:00Z&by=day&units=2"
    page = (await seen(api, f"/v1/availability?{query}", log.position)).json()
    assert page["days"][0] == {
        "date": "2030-06-01",
        "slots": 3,
        "slots_open": 2,
        "capacity": 20,
        "remaining": 1 + 5 + 9,
        "slots_fitting": 1,
    }
    first = (await api.get(f"/v1/availability?{query}&limit=1")).json()
    rest = (await api.get(f"/v1/availability?{query}&cursor={first['next_cursor']}")).json()
    assert [day["date"] for day in rest["days"]] == ["2030-06-04"]
    assert rest["next_cursor"] is None
    other = await api.get(f"/v1/availability?{query}1&cursor={first['next_cursor']}")
    assert other.json()["type"] == "/problems/invalid-cursor"
    by_slot = await api.get(f"/v1/availability?resource_id={hall}&cursor={first['next_cursor']}")
    assert by_slot.json()["type"] == "/problems/invalid-cursor"


WALL_CLOCKS = f"""
SELECT r.time_zone, moment, moment AT TIME ZONE {ZONE} AS shown
FROM unnest($1::text[]) AS r(time_zone), unnest($2::timestamptz[]) AS moment
"""


async def test_in_every_time_zone_a_resource_may_have_days_are_those_of_the_wall(owner):
    # `localtime` is no IANA name but a link that some systems have to their own zone; creation refuses it.
    names = sorted(available_timezones() - {"localtime"})
    winter_and_summer = [datetime(2020, month, 15, 12, tzinfo=UTC) for month in (1, 7)]
    rows = await owner.fetch(WALL_CLOCKS, names, winter_and_summer)
    assert len(rows) == 2 * len(names)
    for name, moment, shown in rows:
        assert moment.astimezone(ZoneInfo(name)).replace(tzinfo=None) == shown, name


async def test_activity_counts_each_event_once_in_its_hour(log, stream, api):
    hall, other = await log.resource(), await log.resource()
    slot, night = await log.slot(hall), await log.slot(other)
    both = await log.hold(slot, night, units=3)
    await log.confirm(both)
    await log.book(slot, units=2)
    await end(log, await log.hold(slot, units=5), "HoldReleased")
    await end(log, await log.hold(slot, units=7), "HoldExpired")
    await log.cancel(both)
    await stream.copy()
    page = (await seen(api, f"/v1/activity?resource_id={hall}", log.position)).json()
    total = {}
    for hour in page["hours"]:  # the clock may strike while the test runs
        assert hour["hour"].endswith(":00:00Z")
        for name, count in hour.items():
            if name != "hour":
                total[name] = total.get(name, 0) + count
    assert total == {
        "held": 3,
        "held_units": 15,
        "confirmed": 2,
        "confirmed_units": 5,
        "released": 1,
        "released_units": 5,
        "expired": 1,
        "expired_units": 7,
        "cancelled": 1,
        "cancelled_units": 3,
    }
    elsewhere = (await api.get(f"/v1/activity?resource_id={other}")).json()
    assert sum(hour["held_units"] for hour in elsewhere["hours"]) == 3


async def test_activity_is_paged_by_hour_and_its_cursor_belongs_to_its_filters(
    log, stream, api, owner
):
    hall = await log.resource()
    await stream.copy()
    await seen(api, "/v1/resources", log.position)
    await owner.execute(
        """
        INSERT INTO read_model.activity
        SELECT $1, '2030-01-01T00:00Z'::timestamptz + n * interval '1 hour', n,n,0,0,0,0,0,0,0,0
        FROM generate_series(1, 5) AS n
        """,
        hall,
    )
    query = f"/v1/activity?resource_id={hall}&from=2030-01-01T02:30:00Z&to=2030-01-01T05:00:00Z"
    page = (await api.get(f"{query}&limit=2")).json()
    assert [hour["hour"] for hour in page["hours"]] == [
        "2030-01-01T02:00:00Z",  # the hour of `from` is shown whole
        "2030-01-01T03:00:00Z",
    ]
    rest = (await api.get(f"{query}&limit=2&cursor={page['next_cursor']}")).json()
    assert [hour["held"] for hour in rest["hours"]] == [4]
    assert rest["next_cursor"] is None
    elsewhere = await api.get(f"/v1/activity?resource_id={uuid4()}&cursor={page['next_cursor']}")
    assert elsewhere.json()["type"] == "/problems/invalid-cursor"


async def test_an_overview_adds_up_while_people_book(log, stream, api):
    hall = await log.resource()
    slots = [await log.slot(hall, capacity=200) for _ in range(3)]
    await stream.copy()
    await seen(api, f"/v1/resources/{hall}/overview", log.position)
    going = True

    async def book():
        held = []
        for number in range(60):
            held.append(await log.hold(slots[number % 3], slots[(number + 1) % 3], units=2))
            if number % 3 == 1:
                await log.confirm(held.pop(0))
            if number % 3 == 2:
                await log.cancel(held.pop(0))
            await stream.copy()
        nonlocal going
        going = False

    positions = set()
    booking = asyncio.create_task(book())
    while going and not booking.done():
        overview = (await api.get(f"/v1/resources/{hall}/overview")).json()
        check(overview)
        positions.add(overview["position"])
    await booking
    overview = (await seen(api, f"/v1/resources/{hall}/overview", log.position)).json()
    check(overview)
    assert overview["activity"]["held"] == 60 * 1
    assert overview["name"] == "Hall A"
    assert len(positions) > 3, "people booked between the reads"


def check(overview):
    """Three read models of one snapshot agree."""
    available, booked, did = overview["availability"], overview["bookings"], overview["activity"]
    assert (
        available["remaining"] + available["held"] + available["confirmed"]
        == available["capacity"] + available["overbooking_units"]
    )
    assert booked["held"]["units"] == available["held"]
    assert booked["confirmed"]["units"] == available["confirmed"]
    assert all(of["lines"] >= 0 for of in booked.values())
    assert booked["cancelled"]["units"] == did["cancelled_units"]


async def test_a_booking_that_moves_takes_its_lines_with_it(log, stream, api):
    hall, annex = await log.resource(), await log.resource("Annex")
    old, kept, new = await log.slot(hall), await log.slot(hall), await log.slot(annex)
    booking_id = await log.hold(old, kept, units=2)
    before = log._bookings[booking_id]["lines"]
    after = [{"slot_id": kept, "units": 2}, {"slot_id": new, "units": 3}]
    data = {"state": "held", "version": 2, "lines": after, "lines_before": before}
    slots = [log.touch(old, held=-2), log.touch(new, held=3)]  # `kept` is left out
    await log.append("BookingRescheduled", data, booking_id=booking_id, slots=slots)
    await stream.copy()
    here = (await seen(api, f"/v1/resources/{hall}/overview", log.position)).json()
    there = (await api.get(f"/v1/resources/{annex}/overview")).json()
    assert here["bookings"]["held"] == {"lines": 1, "units": 2}
    assert there["bookings"]["held"] == {"lines": 1, "units": 3}
    check(here)
    check(there)


async def test_what_is_not_there_has_no_overview_and_no_history(log, stream, api):
    await log.slot()
    await stream.copy()
    answer = await seen(api, f"/v1/resources/{uuid4()}/overview", 1)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/resource-not-found")
    for kind in ("slot", "booking"):
        answer = await api.get(f"/v1/{kind}s/{uuid4()}/history")
        assert (answer.status_code, answer.json()["type"]) == (404, f"/problems/{kind}-not-found")
        assert {"position", "as_of"} <= answer.json().keys()
        assert "consistency-token" in answer.headers


async def test_a_history_tells_every_version_once_and_in_order(log, stream, api):
    slot = await log.slot()
    booking_id = await log.hold(slot, units=2)
    await log.book(slot)
    await log.confirm(booking_id)
    await log.cancel(booking_id)
    await stream.copy()
    path = f"/v1/slots/{slot}/history"
    page = (await seen(api, f"{path}?limit=3", log.position)).json()
    rest = (await api.get(f"{path}?cursor={page['next_cursor']}")).json()
    assert rest["next_cursor"] is None
    events = page["events"] + rest["events"]
    assert [event["type"] for event in events] == [
        *("SlotOpened", "HoldPlaced", "BookingConfirmed", "BookingConfirmed", "BookingCancelled")
    ]
    assert [event["slots"][0]["version"] for event in events] == [1, 2, 3, 4, 5]
    log_itself = (await api.get("/v1/events")).json()["events"]
    assert events == log_itself

    of_booking = (await api.get(f"/v1/bookings/{booking_id}/history")).json()["events"]
    assert [event["data"]["version"] for event in of_booking] == [1, 2, 3]
    other = await api.get(f"/v1/bookings/{booking_id}/history?cursor={page['next_cursor']}")
    assert other.json()["type"] == "/problems/invalid-cursor"


async def test_a_history_of_any_length_is_told_page_by_page_and_without_what_was_not_taken_in(
    log, stream, api
):
    slot = await log.slot(capacity=1000)
    for _ in range(PART):
        await log.hold(slot)
    lost = await log.append("HoldPlaced", '{"nonsense": 1}', slots=[log.touch(slot)])
    for _ in range(PART):
        await log.hold(slot)
    await stream.copy()
    path = f"/v1/slots/{slot}/history"
    await seen(api, path, log.position)
    for limit in (1, 7, PART, 1000):
        told, cursor = [], ""
        while cursor is not None:
            page = (await api.get(f"{path}?limit={limit}{cursor}")).json()
            told += [event["slots"][0]["version"] for event in page["events"]]
            cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
        assert told == [version for version in range(1, log.position + 1) if version != lost]


async def test_a_history_waits_for_the_token_like_any_read(log, stream, api):
    slot = await log.slot()
    await stream.copy()
    await seen(api, f"/v1/slots/{slot}", 1)
    await log.hold(slot)
    ask = {"Consistency-Token": await token_of(log, 2), "Prefer": "wait=10"}
    for path in (
        f"/v1/slots/{slot}/history",
        f"/v1/activity?resource_id={uuid4()}",
        f"/v1/availability?resource_id={uuid4()}&by=day",
    ):
        refused = await api.get(path, headers=ask | {"Prefer": "wait=0"})
        assert refused.json()["type"] == "/problems/read-model-behind", path
    reading = asyncio.create_task(api.get(f"/v1/slots/{slot}/history", headers=ask))
    await stream.copy()
    answer = await reading
    assert len(answer.json()["events"]) == 2
    assert answer.headers["consistency-level"] == "session"


@pytest.mark.parametrize("path", ["availability", "activity"])
async def test_ids_and_limits_of_lists_are_checked(api, path):
    for query in (
        "",
        "resource_id=1",
        f"resource_id={uuid4()}&limit=0",
        f"resource_id={uuid4()}&limit=1001",
    ):
        answer = await api.get(f"/v1/{path}?{query}")
        assert answer.json()["type"] == "/problems/invalid-parameter", query
    cursor = await api.get(f"/v1/{path}?resource_id={uuid4()}&cursor=made-up")
    assert cursor.json()["type"] == "/problems/invalid-cursor"


async def test_a_page_of_a_long_history_touches_as_little_as_one_of_a_short_one(owner):
    """Flat in the number of events: what a page reads is counted, not timed."""
    await owner.execute(
        """
        WITH slots AS (
            INSERT INTO read_model.slot (slot_id, resource_id, starts_at, ends_at, state, capacity,
                overbooking_units, held, confirmed, version)
            SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, gen_random_uuid(), now(), now(),
                'open', 9, 0, 0, 0, 1
            FROM generate_series(1, 2) AS n)
        INSERT INTO read_model.slot_history
        SELECT ('00000000-0000-0000-0000-00000000000' || slot)::uuid, n / $1,
            array_fill(n, ARRAY[$1], ARRAY[n])
        FROM (VALUES (1, 60000), (2, 6000)) AS slots (slot, versions),
             generate_series(0, versions, $1) AS n
        """,
        PART,
    )
    await owner.execute("ANALYZE read_model.slot, read_model.slot_history")

    async def pages_touched(number: int, after: int) -> int:
        plan = await owner.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {HISTORY_OF_SLOT}",
            UUID(int=number),
            after,
            100,
        )
        [told] = json.loads(plan)
        return told["Plan"]["Shared Hit Blocks"] + told["Plan"]["Shared Read Blocks"]

    short, long = await pages_touched(2, 50), await pages_touched(1, 50_000)
    assert long <= short + 5


async def test_a_cursor_that_was_made_up_is_refused_like_any_other_mistake(log, stream, api):
    hall, customer_id = uuid4(), uuid4()

    def forged(where: str, cursor: str) -> str:
        """The cursor with another place in it, and the mark of its filters kept."""
        mark, _ = json.loads(urlsafe_b64decode(cursor + "=="))
        return urlsafe_b64encode(f"[{mark},{where}]".encode()).rstrip(b"=").decode()

    slot = await log.slot(hall)
    await log.slot(hall, in_days=2)
    for _ in range(2):
        await log.hold(slot, customer_id=customer_id)
    await stream.copy()
    naive = '"2030-01-01T00:00:00"'
    for path, where in {
        f"/v1/availability?resource_id={hall}": f'{{"starts_at":{naive},"slot_id":"{slot}",'
        f'"starts_from":{naive},"starts_before":{naive}}}',
        f"/v1/availability?resource_id={hall}&by=day": f'{{"date":"2030-01-01",'
        f'"starts_from":{naive},"starts_before":{naive}}}',
        f"/v1/bookings?customer_id={customer_id}": '{"position":99999999999999999999}',
        f"/v1/slots/{slot}/history?": '{"version":99999999999999999999}',
    }.items():
        page = (await seen(api, f"{path}&limit=1", log.position)).json()
        answer = await api.get(f"{path}&cursor={forged(where, page['next_cursor'])}")
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid-cursor"), (
            path
        )
