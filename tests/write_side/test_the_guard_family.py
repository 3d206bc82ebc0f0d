"""One specification for every guard, the product's included; and for each that fails, how it does.

Whoever claims to protect the last place is raced at it. Whoever does not is shown to sell it twice,
step by step, beside a twin that differs in one thing and does not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from eventually import eventually
from shop import Shop, all_at_once, open_shop
from test_the_last_units import assert_every_refusal_was_honest

from booking.all_in_one import migrate_both_sides
from booking.attempts import TransactionConflict
from booking.commands import Call, Command, Decision
from booking.edge.failures import Misconfigured
from booking.embedded.postgres import Postgres, create_database
from booking.guards import (
    GUARDS,
    THE_PRODUCTS,
    advisory_lock_then_count,
    chosen,
    conditional_write_singly,
    prepare,
    row_lock_then_count,
    row_per_unit,
)
from booking.guards.bookkeeping import Move

# These decide as the product does and make another mistake each, which has a test of its own.
OTHER_MISTAKES = (
    "line_by_line",
    "by_the_sum",
    "all_fail_together",
    "unsorted_locks",
    "application_clock",
    "application_clock_ahead",
    "slow_numbered_first",
    "slow_numbered_last",
)
FAMILY = {name: guard for name, guard in GUARDS.items() if name not in OTHER_MISTAKES}
PROTECTING = [name for name, guard in FAMILY.items() if not guard.oversells]
OVERSELLING = [name for name, guard in FAMILY.items() if guard.oversells]
HONEST = [name for name in PROTECTING if name != "row_per_unit"]
SAYS_NO = [name for name in FAMILY if name != "unguarded"]
OF_THE_LABORATORY = [name for name in FAMILY if name != THE_PRODUCTS]

BESIDE_THE_ROW = {
    "row_lock_then_count": row_lock_then_count.grant,
    "advisory_lock_then_count": advisory_lock_then_count.grant,
    "row_per_unit": row_per_unit.grant,
}

NUMBERS = count(1)

TABLES = (
    "booking.booking",
    "booking.booking_line",
    "booking.event_log",
    "booking.command_record",
    "booking.log_head",
    "booking.slot",
    "laboratory.claim",
    "laboratory.unit",
)


class GuardedShop(Shop):
    """A write side under one guard. Views catch up when they are told to, and never by themselves."""

    def __init__(
        self, http: httpx.AsyncClient, database: asyncpg.Connection, *, guard: str
    ) -> None:
        super().__init__(http, database)
        self.guard = guard

    async def catch_up(self) -> None:
        """Let the view hear of everything: of the projector's work, what a guard can see."""
        await self.database.execute("TRUNCATE read_model.slot")
        await self.database.execute(
            """
            INSERT INTO read_model.slot (slot_id, resource_id, starts_at, ends_at, state, capacity,
                overbooking_units, held, confirmed, version)
            SELECT slot_id, resource_id, starts_at, ends_at, state, capacity, overbooking_units, held,
                   confirmed, version
            FROM booking.slot
            """
        )

    async def new_slot(self, capacity: int) -> str:
        slot = await self.slot(capacity)
        await self.catch_up()
        return slot

    async def everything(self) -> dict[str, list[asyncpg.Record]]:
        """All rows of all tables that a booking may write."""
        there = [t for t in TABLES if await self.database.fetchval("SELECT to_regclass($1)", t)]
        return {
            t: sorted(map(tuple, await self.database.fetch(f"TABLE {t}")), key=repr) for t in there
        }


@pytest.fixture(scope="module")
async def at(
    request: pytest.FixtureRequest, postgres: Postgres, migrated: str
) -> AsyncIterator[GuardedShop]:
    """A shop under the guard a test is run for; its own slots keep tests apart."""
    url = await laboratory(postgres, migrated, request.param)
    async with open_shop(url, guard=request.param) as shop:
        yield GuardedShop(shop.http, shop.database, guard=request.param)


async def laboratory(
    postgres: Postgres, migrated: str, guard: str, *, last_line: bool = False
) -> str:
    """The URL of a new database with what the guard needs."""
    url = await create_database(postgres, f"of_{guard}_{next(NUMBERS)}", template=migrated)
    owner = await asyncpg.connect(url)
    await prepare(owner, GUARDS[guard], last_line=last_line)
    await owner.close()
    return url


def under(guards: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("at", guards, indirect=True)


# What every guard that claims to protect must do.


@under(PROTECTING)
async def test_of_many_guests_racing_for_the_last_place_exactly_one_gets_it(at):
    slot = await at.new_slot(1)
    answers = await all_at_once([lambda: at.take(slot, customer=str(uuid4()))] * 20)
    assert sorted(a.status_code for a in answers) == [201] + [409] * 19
    assert {a.json()["type"] for a in answers if a.status_code == 409} == {
        "/problems/capacity-exceeded"
    }
    assert await at.oversold(slot) == 0
    await at.assert_books_agree()


@under(PROTECTING)
async def test_stays_over_the_same_nights_get_all_of_them_or_none_and_never_deadlock(at):
    nights = await at.slots(4, capacity=3)
    stays = [nights[i % 3 : i % 3 + 2] for i in range(18)]
    answers = await all_at_once(
        [lambda stay=stay: at.take(dict.fromkeys(stay, 1)) for stay in stays]
    )
    assert {a.status_code for a in answers} == {201, 409}
    for night in nights:
        assert await at.oversold(night) == 0
    await at.assert_books_agree()


@under(HONEST)
async def test_every_refusal_is_true_at_the_version_it_names(at):
    slot = await at.new_slot(5)
    parties = [1, 2, 3, 2, 1, 3, 2, 1]
    answers = await all_at_once([lambda units=units: at.take({slot: units}) for units in parties])
    assert {a.status_code for a in answers} == {201, 409}
    await assert_every_refusal_was_honest(at, answers)


# What every arm must do, so that arms differ in the guard alone.


@under(SAYS_NO)
async def test_a_refused_guest_leaves_no_trace(at):
    full, free = await at.new_slot(1), await at.new_slot(1)
    await at.booked(full)
    await at.catch_up()
    before = await at.everything()
    for lines in ({full: 1}, {full: 1, free: 1}):
        answer = await at.take(lines)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/capacity-exceeded")
        [short] = answer.json()["lines"]
        assert (short["slot_id"], short["remaining"]) == (full, 0)
    assert await at.everything() == before
    assert (await at.take(free)).status_code == 201


@under(list(FAMILY))
async def test_each_success_raises_the_version_by_one(at):
    slot = await at.new_slot(6)
    answers = await all_at_once([lambda: at.take(slot)] * 6)
    lines = [answer.json()["lines"][0] for answer in answers]
    assert sorted(line["version"] for line in lines) == [2, 3, 4, 5, 6, 7]
    assert all(line["remaining"] == 7 - line["version"] for line in lines)
    await at.assert_books_agree()


@under(list(FAMILY))
@pytest.mark.parametrize(
    ("mode", "verb"), [("hold", "release"), ("hold", "cancel"), ("book", "cancel")]
)
async def test_a_place_that_was_given_back_can_be_taken_again(at, mode, verb):
    slot = await at.new_slot(1)
    taken = (await at.take(slot, mode=mode)).json()["booking_id"]
    first, again = await at.order(verb, taken), await at.order(verb, taken)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    await at.catch_up()
    assert (await at.take(slot, mode=mode)).status_code == 201
    await at.catch_up()
    if at.guard in SAYS_NO:
        assert (await at.take(slot)).status_code == 409
    await at.assert_books_agree()


@under(list(FAMILY))
async def test_a_booking_that_two_cancel_at_once_gives_its_places_back_once(at):
    slot = await at.new_slot(3)
    booking = await at.booked({slot: 2})
    answers = await all_at_once([lambda: at.order("cancel", booking)] * 4)
    assert {a.status_code for a in answers} == {200}
    await at.catch_up()
    assert (await at.take({slot: 3})).status_code == 201
    await at.assert_books_agree()


@under(list(FAMILY))
async def test_a_repeated_key_is_answered_byte_for_byte(at):
    slot = await at.new_slot(8)  # room for all six: who skips locked units may need it
    key = str(uuid4())
    answers = await all_at_once([lambda: at.take(slot, key=key)] * 6)
    answers.append(await at.take(slot, key=key))
    assert {a.status_code for a in answers} == {201}
    assert len({a.content for a in answers}) == 1
    assert sum("idempotent-replayed" in a.headers for a in answers) == 6
    assert (await at.take({slot: 2}, key=key)).json()["type"] == "/problems/idempotency-key-reused"
    assert (await at.take({slot: 7})).json()["lines"][0]["remaining"] == 0
    await at.assert_books_agree()


@under(list(FAMILY))
async def test_what_needs_no_counting_is_refused_for_the_same_reason_under_every_guard(at):
    slot = await at.new_slot(1)
    booking = str(uuid4())
    assert (await at.take(slot, booking_id=booking)).status_code == 201
    roomy = await at.new_slot(2)
    refused = [
        await at.take(str(uuid4())),
        await at.take(roomy, mode="hold", hold_seconds=604_800),
        await at.take(roomy, booking_id=booking),
        await at.order("release", booking),
        await at.order("cancel", str(uuid4())),
        await at.order("cancel", booking, if_match='"7"'),
    ]
    assert [(a.status_code, a.json()["type"].removeprefix("/problems/")) for a in refused] == [
        (404, "slot-not-found"),
        (409, "hold-too-long"),
        (409, "already-exists"),
        (409, "wrong-state"),
        (404, "booking-not-found"),
        (412, "version-mismatch"),
    ]
    await at.assert_books_agree()


@under(OF_THE_LABORATORY)
async def test_other_commands_are_not_in_this_arm(at):
    booking = await at.held(await at.new_slot(1))
    assert_unknown(await at.order("confirm", booking), "ConfirmBooking")


@under(OF_THE_LABORATORY)
async def test_a_rule_that_would_be_in_the_way_of_every_booking_is_not_in_this_arm(at):
    """Refused when somebody wants to set it, and not only when somebody wants to book."""
    hall = {"name": "Hall B", "time_zone": "Europe/Amsterdam"}
    key = str(uuid4())
    limited = hall | {"policy": {"units_per_customer_max": 1}}
    assert_unknown(await at.post("/v1/resources", limited, key=key), "units_per_customer_max")
    resource = await at.resource()
    policy = {
        "hold_seconds": 60,
        "units_per_booking_max": None,
        "units_per_customer_max": None,
        "overbooking_units": 0,
    }
    answer = await at.post(f"/v1/resources/{resource}/policy", policy, if_match='"1"')
    assert_unknown(answer, "SetPolicy")
    assert (await at.post("/v1/resources", hall, key=key)).status_code == 201  # the key is free


@under(OF_THE_LABORATORY)
async def test_a_limit_per_customer_that_the_product_has_left_is_named_as_what_this_arm_does_not_know(
    at,
):
    slot, other = await at.slots(2, capacity=2)
    await at.catch_up()
    booking = await at.booked(other)
    await at.database.execute(
        "UPDATE booking.resource SET units_per_customer_max = 1 FROM booking.slot AS s"
        " WHERE s.slot_id = $1 AND s.resource_id = booking.resource.resource_id",
        UUID(slot),
    )
    assert_unknown(await at.take(slot), "units_per_customer_max")
    assert_unknown(await at.order("cancel", booking), "units_per_customer_max")


@under([name for name in OF_THE_LABORATORY if name in SAYS_NO])
async def test_in_an_arm_a_hold_past_its_time_keeps_its_units_until_it_is_given_back(at):
    slot = await at.new_slot(1)
    hold = await at.held(slot)
    await at.database.execute(
        "UPDATE booking.booking SET expires_at = clock_timestamp() - interval '1 s' WHERE booking_id = $1",
        UUID(hold),
    )
    await at.catch_up()
    assert (await at.take(slot)).status_code == 409
    assert (await at.order("release", hold)).status_code == 200
    await at.catch_up()
    assert (await at.take(slot)).status_code == 201


@under(["application_clock", "application_clock_ahead"])
async def test_the_arms_with_a_clock_confirm_too_and_name_what_they_do_not_know(at):
    slot = await at.new_slot(2)
    booking = await at.held(slot)
    assert (await at.order("confirm", booking)).status_code == 200
    missing = await at.order("confirm", str(uuid4()))
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/booking-not-found")
    extended = await at.post(f"/v1/bookings/{booking}/extend", key=str(uuid4()))
    assert_unknown(extended, "ExtendHold")
    limited = {"name": "B", "time_zone": "UTC", "policy": {"units_per_customer_max": 1}}
    answer = await at.post("/v1/resources", limited, key=str(uuid4()))
    assert_unknown(answer, "units_per_customer_max")


@under([name for name, guard in GUARDS.items() if guard.complete])
async def test_who_decides_as_the_product_does_knows_its_other_commands_and_rules(at):
    slot = await at.slot(3, units_per_customer_max=1)
    booking = await at.held(slot)
    assert (await at.order("confirm", booking)).status_code == 200
    answer = await at.take(slot)
    assert (answer.status_code, answer.json()["type"]) == (
        409,
        "/problems/customer-limit-exceeded",
    )


def assert_unknown(answer: httpx.Response, unknown: str) -> None:
    assert (answer.status_code, answer.json()["type"]) == (501, "/problems/not-in-this-arm")
    assert answer.json()["unknown"] == unknown
    assert f"does not know {unknown}:" in answer.json()["detail"]


@pytest.mark.parametrize("guard", ["row_lock_then_count", "row_per_unit"])
async def test_a_guard_with_tables_of_its_own_starts_from_what_is_booked_already(
    postgres, migrated, guard
):
    url = await laboratory(postgres, migrated, THE_PRODUCTS)
    async with open_shop(url) as shop:
        slot = await shop.slot(3)
        booking = await shop.booked({slot: 2})
    owner = await asyncpg.connect(url)
    for _ in range(2):
        await prepare(owner, GUARDS[guard], last_line=True)
    await owner.close()
    async with open_shop(url, guard=guard) as shop:
        assert (await shop.take({slot: 2})).status_code == 409
        assert (await shop.order("cancel", booking)).status_code == 200
        assert (await shop.take({slot: 3})).status_code == 201
        await shop.assert_books_agree()


@under([name for name, guard in FAMILY.items() if guard.in_flight_max > 1])
async def test_who_waits_for_one_slot_does_not_hold_up_the_guests_of_another(at):
    """Guards that do not batch have a transaction per guest, several at a time."""
    wanted, other = await at.new_slot(1), await at.new_slot(1)
    async with at.database.transaction():
        await at.database.execute(row_lock_then_count.LOCK, UUID(wanted))
        waiting = asyncio.create_task(at.take(wanted))
        await eventually(
            lambda: at.database.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"),
            because="a guest waits for the slot",
        )
        assert (await at.take(other)).status_code == 201
        assert not waiting.done()
    assert (await waiting).status_code == 201


# How guards fail, step by step. Connections are led by hand; nothing is left to chance.


@pytest.fixture
async def hall(
    request: pytest.FixtureRequest, postgres: Postgres, migrated: str
) -> AsyncIterator["Hall"]:
    """One slot with one place, its guard's tables, and connections as the API's."""
    url = await laboratory(postgres, migrated, request.param)
    async with open_shop(url, guard=request.param) as opened:
        shop = GuardedShop(opened.http, opened.database, guard=request.param)
        hall = Hall(shop, url, UUID(await shop.new_slot(1)), GUARDS[request.param].take)
        yield hall
        for connection in hall.connections:
            await connection.close()


class Hall:
    """A place that two guests want, and whoever stands in their way."""

    def __init__(self, shop: GuardedShop, url: str, slot: UUID, take) -> None:
        self.shop, self.url, self.slot, self.take = shop, url, slot, take
        self.connections: list[asyncpg.Connection] = []

    async def connection(self) -> asyncpg.Connection:
        settings = {"role": "booking_writer"}
        self.connections.append(await asyncpg.connect(self.url, server_settings=settings))
        return self.connections[-1]

    async def guest(self) -> Awaitable[str]:
        """A guest who wants the place; already on the way. The outcome is awaited."""
        connection = await self.connection()

        async def outcome() -> str:
            decisions: list[Decision] = await self.take(connection, [self.order()])
            return decisions[0].outcome

        return asyncio.create_task(outcome())

    def order(self) -> Command:
        call = Call(
            caller="guest",
            command_id=str(uuid4()),
            fingerprint=b"a place",
            deadline=datetime.now(UTC) + timedelta(seconds=30),
        )
        return Command("BookNow", call, uuid4(), uuid4(), None, ((self.slot, 1),))

    async def waiting(self, number: int) -> None:
        """Until so many connections wait for a lock."""
        await eventually(
            lambda: self.shop.database.fetchval(
                "SELECT count(DISTINCT pid) = $1 FROM pg_locks WHERE NOT granted", number
            ),
            because=f"{number} guests wait for a lock",
        )

    async def two_guests_who_wait_behind(
        self, lock: Callable[[asyncpg.Connection], Awaitable[object]]
    ) -> list[str]:
        """Both have begun before either may go on; then the way is free."""
        doorkeeper = await self.connection()
        door = doorkeeper.transaction()
        await door.start()
        await lock(doorkeeper)
        guests = [await self.guest(), await self.guest()]
        await self.waiting(2)
        await door.rollback()
        return sorted(await asyncio.gather(*guests))


def at_the(*guards: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("hall", guards, indirect=True)


@at_the("unguarded")
async def test_without_a_guard_both_guests_get_the_last_place(hall):
    """If this fails, the races above prove nothing."""
    assert await (await hall.guest()) == "accepted"
    assert await (await hall.guest()) == "accepted"
    assert await hall.shop.oversold(str(hall.slot)) == 1
    await hall.shop.assert_books_agree()


@at_the("trust_the_view")
async def test_a_view_that_has_not_heard_yet_sells_the_last_place_again(hall):
    assert await (await hall.guest()) == "accepted"
    assert await (await hall.guest()) == "accepted"
    assert await hall.shop.oversold(str(hall.slot)) == 1
    await hall.shop.catch_up()
    assert await (await hall.guest()) == "capacity-exceeded"
    await hall.shop.assert_books_agree()


@at_the("advisory_lock_then_count", "lock_then_count_repeatable_read")
async def test_counting_behind_a_lock_is_safe_and_a_stricter_isolation_level_undoes_it(
    hall, request
):
    """The same code, the same lock, the same two guests: only the isolation level differs."""
    outcomes = await hall.two_guests_who_wait_behind(
        lambda doorkeeper: doorkeeper.execute(advisory_lock_then_count.LOCK, hall.slot)
    )
    if hall.take is GUARDS["lock_then_count_repeatable_read"].take:
        assert outcomes == ["accepted", "accepted"]
        assert await hall.shop.oversold(str(hall.slot)) == 1
    else:
        assert outcomes == ["accepted", "capacity-exceeded"]
        assert await hall.shop.oversold(str(hall.slot)) == 0
    await hall.shop.assert_books_agree()


@at_the(*BESIDE_THE_ROW)
async def test_who_decides_by_something_else_than_the_slots_row_does_not_write_it(hall):
    """What is counted decides; the row, which everybody writes in the end, must not be what protects the count."""
    grant = BESIDE_THE_ROW[hall.shop.guard]
    connection = await hall.connection()
    row = "SELECT xmin, * FROM booking.slot WHERE slot_id = $1"
    async with connection.transaction():
        before = await connection.fetchrow(row, hall.slot)
        assert await grant(connection, Move(uuid4(), hall.slot, 0, 1)) is None
        assert (await grant(connection, Move(uuid4(), hall.slot, 0, 1))).remaining == 0
        assert await connection.fetchrow(row, hall.slot) == before


@at_the("row_lock_then_count", "conditional_write_singly", THE_PRODUCTS)
async def test_who_waited_for_the_row_judges_what_the_one_before_has_left(hall):
    outcomes = await hall.two_guests_who_wait_behind(
        lambda doorkeeper: doorkeeper.execute(row_lock_then_count.LOCK, hall.slot)
    )
    assert outcomes == ["accepted", "capacity-exceeded"]
    assert await hall.shop.oversold(str(hall.slot)) == 0


@at_the("expected_version", "serializable")
async def test_who_judged_what_is_no_longer_so_is_sent_back_with_nothing_done(hall):
    """And asked again, is told the truth."""
    someone = await hall.connection()
    selling = someone.transaction()
    await selling.start()
    await conditional_write_singly.grant(someone, Move(uuid4(), hall.slot, 0, 1))
    guest = await hall.guest()
    await hall.waiting(1)  # has judged, and is about to write
    await selling.commit()
    with pytest.raises((TransactionConflict, asyncpg.SerializationError)):
        await guest
    assert await hall.shop.database.fetchval("SELECT count(*) FROM booking.booking") == 0
    assert await (await hall.guest()) == "capacity-exceeded"


@at_the("row_per_unit", "conditional_write_singly")
async def test_skipping_what_is_locked_says_sold_out_of_a_place_that_nobody_buys(hall):
    """Somebody takes the place and thinks better of it. Who waits gets it; who skips is sent away."""
    skips = hall.take is row_per_unit.take
    grant = row_per_unit.grant if skips else conditional_write_singly.grant
    undecided = await hall.connection()
    thinking = undecided.transaction()
    await thinking.start()
    await grant(undecided, Move(uuid4(), hall.slot, 0, 1))
    guest = await hall.guest()
    if skips:
        assert await guest == "capacity-exceeded"
        await thinking.rollback()
        log = await hall.shop.log()
        assert [event["type"] for event in log] == ["ResourceCreated", "SlotOpened"]  # never sold
    else:
        await hall.waiting(1)
        await thinking.rollback()
        assert await guest == "accepted"


@at_the("lock_then_count_repeatable_read")
async def test_a_claim_whose_booking_was_refused_in_the_second_half_is_dropped(hall):
    order = hall.order()
    connection = await hall.connection()
    [accepted] = await hall.take(connection, [order])
    [repeated] = await hall.take(connection, [order])
    assert (accepted.outcome, repeated.outcome) == ("accepted", "replayed")
    assert repeated.body == accepted.body
    claims = await hall.shop.database.fetch("SELECT booking_id FROM laboratory.claim")
    assert [row["booking_id"] for row in claims] == [order.booking_id]


@pytest.mark.parametrize("guard", OVERSELLING)
async def test_the_last_line_of_defence_still_stops_a_guard_that_does_not(
    postgres, migrated, guard
):
    url = await laboratory(postgres, migrated, guard, last_line=True)
    async with open_shop(url, guard=guard) as opened:
        shop = GuardedShop(opened.http, opened.database, guard=guard)
        slot = await shop.new_slot(1)
        answers = await all_at_once([lambda: shop.take(slot)] * 8)
        assert sum(a.status_code == 201 for a in answers) == 1
        faults = {a.json()["constraint"] for a in answers if a.status_code == 500}
        assert faults <= {"slot_never_oversold"}
        await shop.assert_books_agree()


# Where they may run.


@pytest.mark.parametrize("guard", [*OF_THE_LABORATORY, *OTHER_MISTAKES])
def test_outside_the_laboratory_there_is_no_guard_but_the_products(guard):
    for environment in ("production", "development"):
        with pytest.raises(Misconfigured, match=f"BOOKING_GUARD={guard} is for experiments"):
            chosen(guard, environment=environment)
    assert chosen(guard, environment="laboratory") == guard
    assert chosen(None, environment="production") == THE_PRODUCTS


async def test_migrating_makes_a_guards_own_tables_when_it_is_chosen_and_else_makes_none(
    empty_database_url,
):
    async def tables(**settings: str) -> set[str]:
        await migrate_both_sides(
            {
                "BOOKING_MIGRATION_DATABASE_URL": empty_database_url,
                "BOOKING_DATABASE_URL": empty_database_url,
                "BOOKING_NATS_URL": "nats://127.0.0.1:1",
                **settings,
            }
        )
        connection = await asyncpg.connect(empty_database_url)
        rows = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'laboratory'"
        )
        await connection.close()
        return {row["tablename"] for row in rows}

    assert await tables() == set()
    with pytest.raises(Misconfigured, match="BOOKING_GUARD"):
        await tables(BOOKING_GUARD="row_per_unit")
    experiment = {"BOOKING_ENVIRONMENT": "laboratory"}
    assert await tables(BOOKING_GUARD="unguarded", **experiment) == set()
    assert await tables(BOOKING_GUARD="row_lock_then_count", **experiment) == {"claim"}
    assert await tables(BOOKING_GUARD="row_per_unit", **experiment) == {"claim", "unit"}
