"""A live stream is of use as long as the key it was opened with, and a few seconds more at most."""

import asyncio
import contextlib

import pytest
from at_work import answering
from eventually import eventually
from test_live_stream import following
from test_tickets import SELLER, tickets, with_a_key
from test_who_may_read import key

ENDS_WITHIN_S = 5.0
"""What docs/api.md says."""
REVOKE = "UPDATE booking.api_key SET revoked_at = now() WHERE name = $1"


@pytest.fixture
async def production(database_url, fresh_nats, projector):
    """The API as production runs it, for keys made before it starts."""

    @contextlib.asynccontextmanager
    async def start():
        async with answering(database_url, fresh_nats.url, environment="production") as api:

            async def caught_up() -> bool:
                return (await api.get("/health/ready")).status_code == 200

            await eventually(caught_up)
            yield api

    return start


@contextlib.asynccontextmanager
async def selling(log, stream, slot_id):
    """A sale that gives a stream no quiet second."""
    over = asyncio.Event()

    async def sell() -> None:
        while not over.is_set():
            await log.hold(slot_id)
            await stream.copy()

    sale = asyncio.create_task(sell())
    try:
        yield
    finally:
        over.set()
        await sale


async def ends(next_event) -> None:
    """The stream says `bye` in time, and nothing after it."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        await next_event("bye")
        with pytest.raises(StopAsyncIteration):
            await next_event()


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_the_streams_of_a_revoked_key_end_and_those_of_others_go_on(
    production, busy, log, stream, owner
):
    slot_id = await log.slot(capacity=1_000_000)
    await stream.copy()
    leaves, stays = await key(owner, "leaves", "read"), await key(owner, "stays", "read")
    query = f"slot_id={slot_id}"
    async with (
        production() as api,
        following(api, query, **leaves) as of_who_leaves,
        following(api, query, **stays) as of_who_stays,
        selling(log, stream, slot_id) if busy else contextlib.nullcontext(),
    ):
        for next_event in (of_who_leaves, of_who_stays):
            await next_event("snapshot")
            await next_event("changes" if busy else "as_of")
        await owner.execute(REVOKE, "leaves")
        await ends(of_who_leaves)
        for _ in range(2):
            await of_who_stays("changes" if busy else "as_of")
        again = await api.get(f"/v1/availability/stream?{query}", headers=leaves)
        assert again.status_code == 401


async def test_a_stream_opened_with_a_ticket_ends_with_the_key_the_ticket_was_made_for(
    production, log, stream, owner
):
    slot_id = await log.slot()
    await stream.copy()
    issuer = tickets(await log.pool.fetchval("SELECT secret FROM published.token_secret"))
    ticket, _ = issuer.issue(await with_a_key(owner, SELLER))
    async with (
        production() as api,
        following(api, f"slot_id={slot_id}&ticket={ticket}") as next_event,
    ):
        await next_event("snapshot")
        await next_event("as_of")
        await owner.execute(REVOKE, SELLER.name)
        await ends(next_event)


async def test_where_keys_cannot_be_checked_any_more_only_who_needs_none_goes_on(
    api, log, stream, owner, monkeypatch
):
    slot_id = await log.slot()
    await stream.copy()
    holder = await key(owner, "holder", "read")
    query = f"slot_id={slot_id}"

    async def known() -> bool:
        return (await api.get("/v1/resources", headers=holder)).status_code == 200

    await eventually(known)
    async with (
        following(api, query, **holder) as of_the_holder,
        following(api, query) as of_nobody,
    ):
        await of_the_holder("as_of")
        monkeypatch.setattr("booking.edge.api_keys.GOOD_FOR_S", -1.0)
        await ends(of_the_holder)
        for _ in range(2):
            await of_nobody("as_of")
