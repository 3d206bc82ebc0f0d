"""Tickets for browsers: whoever may call at all gets one, and it says no more than the key did."""

from datetime import datetime, timedelta

from booking.edge.tickets import Tickets


async def test_a_caller_gets_a_ticket_for_a_minute(shop):
    before = await shop.database.fetchval("SELECT clock_timestamp()")
    answer = await shop.post("/v1/tickets")
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert set(answer.json()) == {"ticket", "expires_at"}
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    after = await shop.database.fetchval("SELECT clock_timestamp()")
    minute = timedelta(seconds=60)
    assert before - minute < expires_at <= after + minute
    secret = await shop.database.fetchval("SELECT secret FROM published.token_secret")
    holder = Tickets(secret, now_at_least=lambda: after, now_at_most=lambda: after)
    assert holder.caller(answer.json()["ticket"]).name == "anonymous"


async def test_a_ticket_is_no_command(shop):
    head = await shop.head()
    await shop.post("/v1/tickets", key="mine")
    assert await shop.head() == head
    assert (await shop.post("/v1/tickets", {"unknown": 1})).status_code == 422
