"""Kill -9 in the middle of a sale: what was promised is kept, and what was not is known."""

import asyncio
import json

import asyncpg
from eventually import eventually
from running import alive, running, start_up
from sale import Sale, open_slot

FOLD = """
SELECT s ->> 'slot_id' AS slot_id, sum((s ->> 'units')::int) AS used
FROM published.events, json_array_elements(slots) AS s GROUP BY 1
"""
COUNTERS = "SELECT slot_id::text, held + confirmed AS used FROM booking.slot"


async def test_after_a_kill_every_promise_is_kept_and_every_doubt_resolved(tmp_path) -> None:
    data_dir = tmp_path / "data"
    killed = await (await start_up(data_dir)).ready()
    family = killed.family()
    async with killed.client() as client:
        slot_id = await open_slot(client, capacity=1_000_000)
        sale = Sale(client, slot_id)
        selling = asyncio.create_task(sale.run(buyers=20))
        await eventually(lambda: len(sale.accepted) >= 200, within_s=20)
        await killed.kill()
        await selling
    assert sale.accepted
    assert len(sale.unanswered) == 20

    async with running(data_dir) as again, again.client() as client:
        assert alive(family) == [], "processes of the killed one are still there"
        for key, booking in sale.accepted.items():
            told = await client.get(f"/v1/commands/{key}")
            assert told.status_code == 200
            assert json.loads(json.dumps(told.json()["answer"])) == booking

        happened = 0
        for key in sale.unanswered:
            told = await client.get(f"/v1/commands/{key}")
            assert told.status_code in {200, 404}
            happened += told.status_code == 200

        used = await used_by_counters_and_log(again.run_file["database_url"])
        assert used[0] == used[1]
        expected = sum(line["units"] for b in sale.accepted.values() for line in b["lines"])
        assert used[0][slot_id] >= expected

        async def read_model_agrees() -> bool:
            seen = await client.get(f"/v1/slots/{slot_id}")
            return seen.json().get("remaining") == 1_000_000 - used[0][slot_id]

        await eventually(read_model_agrees, within_s=5)


async def used_by_counters_and_log(database_url: str) -> tuple[dict[str, int], dict[str, int]]:
    connection = await asyncpg.connect(database_url)
    try:
        counters = {row["slot_id"]: row["used"] for row in await connection.fetch(COUNTERS)}
        fold = {row["slot_id"]: row["used"] for row in await connection.fetch(FOLD)}
    finally:
        await connection.close()
    return counters, fold
