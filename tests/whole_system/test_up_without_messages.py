"""`PROJECTOR_SYNC=polling booking up`: the same system, whose read side never hears of NATS."""

from uuid import uuid4

from eventually import eventually
from running import start_up

POLLING = {"PROJECTOR_SYNC": "polling", "PROJECTOR_POLL_MS": "10"}


async def test_what_was_booked_is_read_with_its_token_and_no_message_was_needed(tmp_path):
    system = await start_up(tmp_path / "data", environ=POLLING)
    try:
        await system.ready()
        async with system.client() as client:
            resource_id, slot_id = str(uuid4()), str(uuid4())
            await made(
                client,
                "/v1/resources",
                {"resource_id": resource_id, "name": "Hall", "time_zone": "Europe/Amsterdam"},
            )
            slot = {
                "slot_id": slot_id,
                "starts_at": "2099-01-01T19:00:00Z",
                "ends_at": "2099-01-01T22:00:00Z",
                "capacity": 9,
            }
            await made(client, f"/v1/resources/{resource_id}/slots", {"slots": [slot]})
            booked = await made(
                client,
                "/v1/bookings",
                {
                    "booking_id": str(uuid4()),
                    "customer_id": str(uuid4()),
                    "mode": "hold",
                    "lines": [{"slot_id": slot_id, "units": 2}],
                },
            )
            seen = await client.get(
                f"/v1/slots/{slot_id}",
                headers={
                    "Consistency-Token": booked.headers["consistency-token"],
                    "Prefer": "wait=5",
                },
            )
            assert seen.json()["remaining"] == 7

            async def at_work() -> bool:  # what a projector says of itself is a second old
                told = (await client.get("/v1/consistency")).json()["projectors"]
                return {p["state"] for p in told} in ({"running"}, {"behind"})

            await eventually(at_work)
            metrics = (await client.get(f"{system.run_file['metrics_url']}/metrics")).text
            (consumers,) = [
                line
                for line in metrics.splitlines()
                if line.startswith("projector_consumers_made_total")
            ]
            assert float(consumers.split()[-1]) == 0
    finally:
        await system.stop()


async def made(client, path, body):
    answer = await client.post(path, json=body, headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 201, answer.text
    return answer
