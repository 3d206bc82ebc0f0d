"""A long log is folded anew and verified while somebody reads; A_LONG_LOG says how many events."""

import asyncio
import os
import resource
import sys
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from a_long_log import seed
from at_work import answering, projecting
from eventually import eventually

from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.rebuild.rebuild import rebuild
from projector.verify.verify import verify

EVENTS = int(os.environ.get("A_LONG_LOG", "300000"))
SLOTS = int(os.environ.get("A_LONG_LOG_SLOTS", str(EVENTS // 50)))
DEADLINE_S = 60 + EVENTS / 1000
"""Far beyond what it takes: nothing is concluded about speed here, it is only told."""


async def the_seeded(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return await seed(connection, events=EVENTS, slots=SLOTS)
    finally:
        await connection.close()


def memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@asynccontextmanager
async def reading(api, slot_id):
    """Somebody who asks again and again; the positions that were answered."""
    seen: list[int] = []
    ended = asyncio.Event()

    async def ask() -> bool:
        answer = await api.get(f"/v1/slots/{slot_id}")
        if answer.status_code == 200:
            slot = answer.json()
            assert slot["remaining"] == 1_000_000 - slot["held"] - slot["confirmed"]
            seen.append(slot["position"])
        return answer.status_code == 200

    async def ask_on() -> None:
        while not ended.is_set():
            assert await ask()

    await eventually(ask, within_s=20)
    asking = asyncio.create_task(ask_on())
    try:
        yield seen
    finally:
        ended.set()
        await asking


@pytest.mark.long
@pytest.mark.timeout(4 * DEADLINE_S)
async def test_a_long_log_is_rebuilt_and_verified_while_somebody_reads(
    database_url, owner, writer, fresh_nats, capsys
):
    head = await the_seeded(database_url)
    told: list[str] = [f"{head:,} events, {SLOTS:,} slots"]
    slot_id = UUID("00000000-0000-7000-8000-000000000001")
    async with writer.acquire() as operator:
        first = await rebuild(operator, owner)
        told.append(f"rebuilt at {first.events_per_s:,} events/s, {memory_mb()} MB")
        async with (
            projecting(writer, None),
            answering(database_url, fresh_nats.url) as api,
            reading(api, slot_id) as seen,
        ):
            done = await rebuild(operator, owner)
            told.append(f"beside {len(seen)} reads: {done.events_per_s:,} events/s")
            report = await verify(operator, owner)
            told.append(f"verified {report.rows:,} rows in {report.seconds} s, {memory_mb()} MB")
    with capsys.disabled():
        sys.stdout.write("\n  ".join(["", *told, ""]))
    assert (done.position, done.added_up) == (head, True)
    assert report.verdict == "valid"
    assert seen == sorted(seen)
    assert set(seen) == {head}
    assert (await read_checkpoint(owner)).position == head
