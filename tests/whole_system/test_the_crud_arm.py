"""The laboratory's CRUD arm: the same API with one model, the write side's, under the queries, too."""

from uuid import uuid4

from running import booking, running
from sale import book, open_slot

LABORATORY = {"BOOKING_ENVIRONMENT": "laboratory", "PROJECTOR_GUARD": "write_tables"}


async def test_with_one_model_every_read_is_of_the_moment_it_was_asked(tmp_path):
    async with (
        running(tmp_path / "data", environ=LABORATORY) as up,
        up.client() as client,
    ):
        slot_id = await open_slot(client, capacity=10)
        slot = (await client.get(f"/v1/slots/{slot_id}")).json()
        customer_id = str(uuid4())
        for sold in range(1, 6):
            booked = await client.post(
                "/v1/bookings",
                json={
                    "customer_id": customer_id,
                    "mode": "book",
                    "lines": [{"slot_id": slot_id, "units": 1}],
                },
                headers={"Idempotency-Key": str(uuid4())},
            )
            assert booked.status_code == 201
            answer = await client.get(f"/v1/slots/{slot_id}")  # without a token
            assert (answer.json()["confirmed"], answer.json()["position"]) == (
                sold,
                booked.json()["position"],
            )
            assert answer.headers["etag"] == f'"{sold + 1}"'
        page = await client.get(
            f"/v1/availability?resource_id={slot['resource_id']}&from=2030-01-01T00:00:00Z"
        )
        assert [slot["remaining"] for slot in page.json()["slots"]] == [5]
        by_day = await client.get(
            f"/v1/availability?resource_id={slot['resource_id']}&from=2030-01-01T00:00:00Z&by=day"
        )
        assert by_day.json()["days"][0]["remaining"] == 5
        for query in (f"customer_id={customer_id}", f"slot_id={slot_id}"):
            listed = (await client.get(f"/v1/bookings?{query}&limit=3")).json()
            assert [b["state"] for b in listed["bookings"]] == ["confirmed"] * 3
            assert listed["bookings"][0]["booking_id"] == booked.json()["booking_id"]
            assert listed["bookings"][0]["created_at"] == listed["bookings"][0]["updated_at"]
        one = await client.get(f"/v1/bookings/{booked.json()['booking_id']}")
        assert one.json()["lines"][0]["units"] == 1
        for condition in (
            {"Consistency-Token": booked.headers["consistency-token"]},
            {"Cache-Control": "max-age=1"},
            {"Cache-Control": "no-cache"},
        ):
            assert (await client.get(f"/v1/slots/{slot_id}", headers=condition)).status_code == 200
        nothing = await client.get(f"/v1/slots/{uuid4()}")
        assert (nothing.status_code, nothing.json()["position"]) == (404, page.json()["position"])
        # What only a read model keeps is not made up.
        hours = await client.get(f"/v1/activity?resource_id={slot['resource_id']}")
        assert (hours.status_code, hours.json()["type"]) == (501, "/problems/not-in-this-arm")


async def test_with_the_read_model_the_same_load_is_read_late_without_a_token(tmp_path):
    environ = {"BOOKING_ENVIRONMENT": "laboratory", "PROJECTOR_INJECTED_LAG_MS": "400"}
    async with running(tmp_path / "data", environ=environ) as up, up.client() as client:
        slot_id = await open_slot(client, capacity=10)
        booked = await book(client, slot_id)
        token = {"Consistency-Token": booked.headers["consistency-token"], "Prefer": "wait=10"}
        late = await client.get(f"/v1/slots/{slot_id}")
        assert late.json()["position"] < booked.json()["position"]
        told = await client.get(f"/v1/slots/{slot_id}", headers=token)
        assert told.json()["confirmed"] == 1


async def test_outside_the_laboratory_the_arm_is_refused(tmp_path):
    ended = await booking(
        "up",
        "--data-dir",
        str(tmp_path / "data"),
        environ={"PROJECTOR_GUARD": "write_tables"},
    )
    assert ended.code == 2
    assert "PROJECTOR_GUARD=write_tables" in ended.error
    assert "Traceback" not in ended.error
