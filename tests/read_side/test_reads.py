"""Queries over HTTP: what they answer, how old it is, and what they refuse to guess."""

import asyncio
from uuid import uuid4

from at_work import answering
from eventually import eventually

from booking.events.tokens import TokenCodec


async def seen(api, path: str, position: int):
    """The answer once it is of that position."""

    async def there():
        answer = await api.get(path)
        return answer if answer.json().get("position") == position else None

    return await eventually(there, because=f"{path} is of position {position}")


async def token_of(log, position: int) -> str:
    """The token that a command at this position would have been answered with."""
    row = await log.pool.fetchrow(
        "SELECT secret, epoch FROM published.token_secret, published.head"
    )
    return TokenCodec(row["secret"]).encode(row["epoch"], position)


async def test_an_answer_carries_its_age_position_and_token(log, stream, api):
    slot_id = await log.slot(capacity=3)
    await log.hold(slot_id, units=2)
    await stream.copy()

    answer = await seen(api, f"/v1/slots/{slot_id}", 2)

    slot = answer.json()
    assert (slot["remaining"], slot["held"], slot["version"]) == (1, 2, 2)
    assert slot["suspect"] is False
    assert slot["as_of"].endswith("Z")
    assert answer.headers["etag"] == '"2"'
    assert int(answer.headers["age"]) >= 0
    assert answer.headers["consistency-level"] == "eventual"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "Authorization, Consistency-Token, Prefer"
    assert "lag;dur=" in answer.headers["server-timing"]
    assert answer.headers["consistency-token"] == await token_of(log, 2)


async def test_what_is_not_there_is_told_with_its_age_too(log, stream, api):
    await log.slot()
    await stream.copy()
    answer = await seen(api, f"/v1/slots/{uuid4()}", 1)
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/slot-not-found"
    assert "age" in answer.headers
    assert "consistency-token" in answer.headers
    assert answer.headers["cache-control"] == "private, no-cache"
    for spelling in ("not-a-uuid", f"urn:uuid:{uuid4()}", f"{{{uuid4()}}}"):
        assert (await api.get(f"/v1/slots/{spelling}")).json()["type"] == "/problems/not-found"


async def test_a_read_with_a_token_waits_until_it_sees_its_own_write(log, stream, api):
    slot_id = await log.slot(capacity=10)
    await stream.copy()
    await seen(api, f"/v1/slots/{slot_id}", 1)
    await log.hold(slot_id, units=4)  # committed, and on its way

    reading = asyncio.create_task(
        api.get(
            f"/v1/slots/{slot_id}",
            headers={"Consistency-Token": await token_of(log, 2), "Prefer": "wait=10"},
        )
    )
    await stream.copy()
    answer = await reading

    assert answer.status_code == 200
    assert answer.json()["remaining"] == 6
    assert answer.headers["consistency-level"] == "session"
    assert answer.headers["preference-applied"] == "wait=10"


async def test_beyond_the_wait_the_answer_is_refused_not_guessed(log, stream, api):
    slot_id = await log.slot(capacity=10)
    await stream.copy()
    await seen(api, f"/v1/slots/{slot_id}", 1)
    await log.hold(slot_id)
    token = await token_of(log, 2)
    ask = {"Consistency-Token": token, "Prefer": "wait=0"}

    refused = await api.get(f"/v1/slots/{slot_id}", headers=ask)
    assert refused.status_code == 412
    assert refused.json()["type"] == "/problems/read-model-behind"
    assert (refused.json()["required"], refused.json()["applied"]) == (2, 1)
    assert refused.headers["consistency-token"] == token
    assert int(refused.headers["retry-after"]) >= 1

    lenient = await api.get(
        f"/v1/slots/{slot_id}", headers=ask | {"Prefer": "wait=0, handling=lenient"}
    )
    assert lenient.status_code == 200
    assert lenient.headers["consistency-level"] == "eventual"
    assert lenient.headers["preference-applied"] == "wait=0, handling=lenient"
    assert lenient.headers["consistency-token"] == token  # the newer of asked and applied

    cached = await api.get(
        f"/v1/slots/{slot_id}", headers=ask | {"Cache-Control": "only-if-cached"}
    )
    assert cached.status_code == 504
    assert cached.json()["type"] == "/problems/not-satisfied-here"


async def test_whoever_waits_holds_no_database_connection(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    await seen(api, f"/v1/slots/{slot_id}", 1)
    ask = {"Consistency-Token": await token_of(log, 2), "Prefer": "wait=10"}
    waiting = [asyncio.create_task(api.get(f"/v1/slots/{slot_id}", headers=ask)) for _ in range(50)]
    in_a_hurry = await api.get(f"/v1/slots/{slot_id}")
    assert in_a_hurry.json()["position"] == 1
    assert not any(reading.done() for reading in waiting)
    await log.hold(slot_id)
    await stream.copy()
    answers = await asyncio.gather(*waiting)
    assert {answer.json()["position"] for answer in answers} == {2}


async def test_tokens_that_cannot_be_are_told_apart(log, stream, api, owner):
    slot_id = await log.slot()
    await stream.copy()
    old = await token_of(log, 1)
    await seen(api, f"/v1/slots/{slot_id}", 1)

    async def problem(token: str) -> tuple[int, str]:
        answer = await api.get(
            f"/v1/slots/{slot_id}", headers={"Consistency-Token": token, "Prefer": "wait=0"}
        )
        return answer.status_code, answer.json().get("type", "")

    assert await problem("no token at all") == (400, "/problems/invalid-token")
    assert await problem(old[:-2] + "zz") == (400, "/problems/invalid-token")
    assert await problem(await token_of(log, 99)) == (400, "/problems/token-from-the-future")

    await owner.execute("SELECT published.new_epoch(epoch) FROM published.head")

    async def changed() -> bool:
        return await problem(old) == (410, "/problems/token-epoch-changed")

    await eventually(changed, because="the projector met the new epoch")
    strong = await api.get(
        f"/v1/slots/{slot_id}", headers={"Consistency-Token": old, "Cache-Control": "no-cache"}
    )
    assert strong.status_code == 410  # conditions add up


async def test_an_answer_older_than_asked_for_is_refused(log, stream, api, fresh_nats, owner):
    slot_id = await log.slot()
    await stream.copy()
    await seen(api, f"/v1/slots/{slot_id}", 1)
    fresh = await api.get(f"/v1/slots/{slot_id}", headers={"Cache-Control": "max-age=30"})
    assert fresh.status_code == 200
    assert fresh.headers["consistency-level"] == "bounded"


async def test_a_view_whose_projector_is_gone_says_how_stale_it_is(
    log, stream, database_url, fresh_nats, owner
):
    slot_id = await log.slot()
    epoch = await stream.epoch()
    await owner.execute(
        "UPDATE read_model.checkpoint SET epoch = $1, state = 'running', "
        "as_of = clock_timestamp() - interval '90 seconds'",
        epoch,
    )
    async with answering(database_url, fresh_nats.url) as api:
        stale = await api.get(f"/v1/slots/{slot_id}")
        assert stale.status_code == 404
        assert int(stale.headers["age"]) >= 90
        refused = await api.get(
            f"/v1/slots/{slot_id}", headers={"Cache-Control": "max-age=60", "Prefer": "wait=0"}
        )
        assert refused.status_code == 412
        assert refused.json()["type"] == "/problems/too-stale"
        assert refused.json()["max_age_ms"] == 60_000
        assert refused.json()["age_ms"] >= 90_000


async def test_a_strong_read_sees_the_newest_commit(log, stream, api):
    slot_id = await log.slot(capacity=10)
    await stream.copy()
    for sold in range(1, 6):
        await log.book(slot_id)
        copying = asyncio.create_task(stream.copy())
        answer = await api.get(
            f"/v1/slots/{slot_id}", headers={"Cache-Control": "no-cache", "Prefer": "wait=10"}
        )
        await copying
        assert answer.status_code == 200
        assert answer.json()["confirmed"] == sold
        assert answer.headers["consistency-level"] == "strong"


async def test_what_the_caller_has_already_is_not_sent_again(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    await seen(api, f"/v1/slots/{slot_id}", 1)
    same = await api.get(f"/v1/slots/{slot_id}", headers={"If-None-Match": 'W/"1"'})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == '"1"'
    assert "age" in same.headers
    other = await api.get(f"/v1/slots/{slot_id}", headers={"If-None-Match": '"7", "8"'})
    assert other.status_code == 200
    malformed = await api.get(f"/v1/slots/{slot_id}", headers={"If-None-Match": "1"})
    assert malformed.json()["type"] == "/problems/invalid-header"


async def test_availability_is_ordered_paged_and_can_ask_for_units(log, stream, api):
    resource_id = await log.resource()
    slots = [await log.slot(resource_id, capacity=n, in_days=n) for n in (1, 2, 3)]
    await log.close(slots[2])
    await stream.copy()
    path = f"/v1/availability?resource_id={resource_id}"
    page = (await seen(api, f"{path}&limit=2", 5)).json()
    assert [slot["slot_id"] for slot in page["slots"]] == [str(slots[0]), str(slots[1])]
    rest = (await api.get(f"{path}&limit=2&cursor={page['next_cursor']}")).json()
    assert [slot["slot_id"] for slot in rest["slots"]] == [str(slots[2])]
    assert rest["next_cursor"] is None

    fitting = (await api.get(f"{path}&units=2")).json()
    assert [slot["slot_id"] for slot in fitting["slots"]] == [str(slots[1])]

    other = await api.get(f"{path}&units=1&cursor={page['next_cursor']}")
    assert other.json()["type"] == "/problems/invalid-cursor"
    unknown = await api.get(f"{path}&colour=red")
    assert unknown.json()["type"] == "/problems/invalid-parameter"


async def test_a_customer_and_the_door_see_their_bookings_newest_first(log, stream, api):
    evening, night = sorted([await log.slot(), await log.slot()])
    customer_id = uuid4()
    first = await log.hold(evening, night, units=2, customer_id=customer_id)
    second = await log.book(evening, customer_id=customer_id)
    await log.confirm(first)
    other = await log.book(evening)
    await log.cancel(second)
    await stream.copy()

    mine = (await seen(api, f"/v1/bookings?customer_id={customer_id}", log.position)).json()
    assert [b["booking_id"] for b in mine["bookings"]] == [str(second), str(first)]
    assert mine["bookings"][1]["state"] == "confirmed"
    assert [line["slot_id"] for line in mine["bookings"][1]["lines"]] == [str(evening), str(night)]

    door = (await api.get(f"/v1/bookings?slot_id={evening}&state=confirmed")).json()
    assert [b["booking_id"] for b in door["bookings"]] == [str(other), str(first)]
    page = (await api.get(f"/v1/bookings?slot_id={evening}&limit=1")).json()
    rest = await api.get(f"/v1/bookings?slot_id={evening}&limit=5&cursor={page['next_cursor']}")
    assert [b["booking_id"] for b in rest.json()["bookings"]] == [str(second), str(first)]

    one = (await api.get(f"/v1/bookings/{first}")).json()
    assert (one["version"], one["expires_at"], one["lines"][0]["units"]) == (2, None, 2)
    both = await api.get(f"/v1/bookings?customer_id={customer_id}&slot_id={evening}")
    assert both.status_code == 400


async def test_the_log_itself_can_be_read_and_who_follows_it(log, stream, api):
    slot_id = await log.slot()
    await log.hold(slot_id)
    await stream.copy()
    await seen(api, f"/v1/slots/{slot_id}", 2)
    events = (await api.get("/v1/events?after=1&limit=10")).json()
    assert [event["type"] for event in events["events"]] == ["HoldPlaced"]
    assert events["head"] == 2
    answer = await api.get("/v1/consistency")
    consistency = answer.json()
    assert consistency["log"]["position"] == 2
    assert answer.headers["vary"] == "Authorization, Consistency-Token, Prefer"
    assert consistency["epoch"] == events["epoch"]
    resources = (await api.get("/v1/resources")).json()
    assert resources["resources"] == []
    assert (await api.get(f"/v1/resources/{uuid4()}")).status_code == 404
