"""A new meaning is a new schema: older ones are said in today's words, newer ones are not guessed."""

import pytest
from eventually import eventually
from msgspec import json

from booking.events import facts
from booking.events.envelope import Event
from booking.events.facts import FACTS, HoldExtended, fact
from booking.events.upcasters import UPCASTERS, NewerSchema, schema_now, upcast

# A type whose data was said in two other ways before.
STORY = {
    "HoldExtended": (
        lambda said: {"version": said["v"], "until": said["until"]},
        lambda said: {"version": said["version"], "expires_at": said["until"]},
    )
}
LATER = "2099-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        (1, {"v": 7, "until": LATER}),
        (2, {"version": 7, "until": LATER}),
        (3, {"version": 7, "expires_at": LATER}),
    ],
)
def test_what_was_written_under_any_earlier_schema_says_the_same_today(schema, data):
    assert upcast("HoldExtended", schema, data, STORY) == {"version": 7, "expires_at": LATER}


@pytest.mark.parametrize("schema", [0, 4])
def test_a_schema_that_nobody_has_learnt_is_refused(schema):
    with pytest.raises(NewerSchema, match="only up to 3"):
        upcast("HoldExtended", schema, {}, STORY)


def test_a_type_without_a_past_is_of_schema_one():
    assert {schema_now(name) for name in FACTS} == {1}
    assert set(UPCASTERS) <= set(FACTS)


async def test_the_log_is_written_under_the_schemas_of_today(database):
    (default,) = await database.fetchrow(
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute "
        "ON attrelid = adrelid AND attnum = adnum "
        "WHERE adrelid = 'booking.event_log'::regclass AND attname = 'schema'"
    )
    assert {schema_now(name) for name in FACTS} == {int(default)}


def test_an_event_of_an_older_schema_is_decoded_as_if_it_were_written_today(monkeypatch):
    monkeypatch.setitem(facts._SCHEMAS, "HoldExtended", 3)
    monkeypatch.setattr(facts, "upcast", lambda *said: upcast(*said, STORY))
    said = fact(an_event("HoldExtended", 1, {"v": 7, "until": LATER, "unknown": True}))
    assert isinstance(said, HoldExtended)
    assert (said.version, said.expires_at.year) == (7, 2099)


def an_event(kind: str, schema: int, data: dict) -> Event:
    nobody = "00000000-0000-0000-0000-000000000001"
    written = {
        "event_id": nobody,
        "epoch": nobody,
        "position": 1,
        "type": kind,
        "schema": schema,
        "recorded_at": LATER,
        "actor": "a test",
        "command_id": "c",
        "correlation_id": None,
        "booking_id": nobody,
        "slots": [],
        "data": data,
    }
    return json.decode(json.encode(written), type=Event)


async def test_an_event_of_a_newer_schema_is_put_aside_and_not_guessed(
    log, owner, stream, projector
):
    slot_id = await log.slot(capacity=9)
    slots = [log.touch(slot_id)]
    await log.append("SlotClosed", {}, slots=slots, schema=2)
    await stream.copy()

    async def put_aside() -> bool:
        return await owner.fetchval("SELECT position FROM read_model.dead_letter") == 2

    await eventually(put_aside)
    assert "schema 2" in await owner.fetchval("SELECT reason FROM read_model.dead_letter")
    assert await owner.fetchval("SELECT slot_id FROM read_model.suspect_slot") == slot_id
