"""Tickets: a browser follows availability without a header, for a minute, as whom it was given."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from at_work import answering
from eventually import eventually
from msgspec import structs

from booking.edge.api_keys import ANONYMOUS, Caller
from booking.edge.tickets import InvalidTicket, Tickets

SELLER = Caller(id="k1", name="shop", scopes=frozenset({"bookings:own"}), customer_id=uuid4())
AUDITOR = Caller(id="k2", name="nobody", scopes=frozenset())


KEEP_KEY = """
INSERT INTO booking.api_key (name, sha256, scopes, customer_id)
VALUES ($1, sha256($1::text::bytea), $2, $3) RETURNING key_id::text
"""


async def with_a_key(database, caller: Caller) -> Caller:
    """The caller as whoever sends the key that is stored for it."""
    key_id = await database.fetchval(KEEP_KEY, caller.name, [*caller.scopes], caller.customer_id)
    return structs.replace(caller, id=key_id)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def tickets(secret: bytes = b"secret", clock=None) -> Tickets:
    clock = clock or Clock()
    return Tickets(secret, now_at_least=clock, now_at_most=clock)


def test_a_ticket_says_who_its_holder_is_and_what_it_may():
    issuer = tickets()
    ticket, _ = issuer.issue(SELLER)
    assert issuer.caller(ticket) == SELLER
    assert issuer.caller(ticket) == SELLER  # as often as its time allows


def test_after_a_minute_it_is_over():
    clock = Clock()
    issuer = tickets(clock=clock)
    ticket, expires_at = issuer.issue(SELLER)
    assert expires_at == clock.now + timedelta(seconds=60)
    clock.now = expires_at
    assert issuer.caller(ticket)
    clock.now += timedelta(microseconds=1)
    with pytest.raises(InvalidTicket):
        issuer.caller(ticket)


@pytest.mark.parametrize("text", ["", "x", "forged", "ä", "A" * 3000, "é" * 40])
def test_what_this_system_did_not_sign_is_no_ticket(text):
    with pytest.raises(InvalidTicket):
        tickets().caller(text)


def test_a_ticket_of_another_system_is_none_here():
    ticket, _ = tickets(b"another secret").issue(SELLER)
    with pytest.raises(InvalidTicket):
        tickets().caller(ticket)
    changed = ticket[:-3] + ("AAA" if ticket[-3:] != "AAA" else "BBB")
    with pytest.raises(InvalidTicket):
        tickets(b"another secret").caller(changed)


async def test_in_production_a_ticket_opens_the_stream_and_nothing_else(
    log, stream, projector, database_url, fresh_nats
):
    slot_id = await log.slot()
    await stream.copy()
    await stream.heartbeat()
    issuer = tickets(await log.pool.fetchval("SELECT secret FROM published.token_secret"))
    good, _ = issuer.issue(await with_a_key(log.pool, SELLER))
    powerless, _ = issuer.issue(await with_a_key(log.pool, AUDITOR))
    without_a_key, _ = issuer.issue(ANONYMOUS)
    async with answering(database_url, fresh_nats.url, environment="production") as api:

        async def status(path: str) -> int:
            async with api.stream("GET", path) as answer:
                return answer.status_code

        url = f"/v1/availability/stream?slot_id={slot_id}"

        async def let_in() -> bool:
            return await status(f"{url}&ticket={good}") == 200

        await eventually(let_in)
        assert await status(url) == 401
        assert await status(f"{url}&ticket=forged") == 401
        assert await status(f"{url}&ticket={without_a_key}") == 401
        assert await status(f"{url}&ticket={powerless}") == 403
        assert await status(f"{url}&ticket={good}&ticket={good}") == 400
        assert await status(f"/v1/slots/{slot_id}?ticket={good}") == 401

        await log.pool.execute("UPDATE booking.api_key SET revoked_at = now() WHERE name = 'shop'")

        async def shut_out() -> bool:
            return await status(f"{url}&ticket={good}") == 401

        await eventually(shut_out)
