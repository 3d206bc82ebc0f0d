"""Whatever is sent to any route, the answer is one that the document promises, and never a defect."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests_from_a_document import NEW_KEY, Document, Known
from running import Up, booking, running

from booking.edge.published import FOLDER, OPENAPI

TREE = json.loads((FOLDER / OPENAPI).read_bytes())
OPERATIONS = [(method, path) for path, methods in TREE["paths"].items() for method in methods]
# What ends bookings or sales comes last, so that there is something left for the others.
OPERATIONS.sort(key=lambda each: each[1].endswith(("/cancel", "/release", "/close", "/confirm")))
REQUESTS_PER_OPERATION = 30


@dataclass
class Running:
    """A system with something in it, and a client that waits for nothing long."""

    up: Up
    http: httpx.Client
    document: Document


@pytest.fixture(scope="module")
async def system(tmp_path_factory) -> Iterator[Running]:
    async with running(tmp_path_factory.mktemp("documented") / "data") as up:
        with httpx.Client(base_url=up.url, timeout=15, trust_env=False) as http:
            yield Running(up, http, Document(TREE, something_in_it(http)))


def something_in_it(http: httpx.Client) -> Known:
    """A resource with slots, and bookings in several states."""
    known = Known()
    known.ids = {"key": [], "slug": ["not-decided", "capacity-exceeded"]}

    def make(path: str, body: dict) -> dict:
        known.ids["key"].append(str(uuid4()))
        answer = http.post(path, json=body, headers={"Idempotency-Key": known.ids["key"][-1]})
        assert answer.status_code == 201, answer.text
        known.tokens.append(answer.headers["consistency-token"])
        return answer.json()

    policy = {"units_per_booking_max": 5, "units_per_customer_max": 9}
    hall = make("/v1/resources", {"name": "Hall", "time_zone": "UTC", "policy": policy})
    times = {"starts_at": "2030-01-01T19:00:00Z", "ends_at": "2030-01-01T22:00:00Z"}
    path = f"/v1/resources/{hall['resource_id']}/slots"
    opened = make(path, {"slots": [times | {"capacity": 50} for _ in range(3)]})
    known.ids["resource_id"] = [hall["resource_id"]]
    known.ids["slot_id"] = [slot["slot_id"] for slot in opened["slots"]]
    known.ids["customer_id"] = [str(uuid4()) for _ in range(2)]
    lines = [{"slot_id": slot, "units": 1} for slot in known.ids["slot_id"][:2]]
    known.ids["booking_id"] = [
        make("/v1/bookings", {"customer_id": customer, "mode": mode, "lines": lines})["booking_id"]
        for customer in known.ids["customer_id"]
        for mode in ("hold", "hold", "book")
    ]
    return known


@pytest.mark.parametrize(
    ("method", "path"), OPERATIONS, ids=lambda part: part.replace("/v1/", "").strip("/")
)
def test_every_answer_is_a_documented_one(system, method, path):
    @settings(
        max_examples=REQUESTS_PER_OPERATION,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.data())
    def ask(data):
        request = data.draw(system.document.requests(method, path))
        if request["headers"].get("Idempotency-Key") == NEW_KEY.encode():
            request["headers"]["Idempotency-Key"] = str(uuid4())
        answer = system.http.send(system.http.build_request(**request), stream=True)
        try:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
            complaint = system.document.complaint(method, path, answer)
            assert not complaint, f"{complaint}: {answer.text:.500}"
        finally:
            answer.close()

    ask()
    assert '"request_failed"' not in system.up.log.read_text()


async def test_after_all_of_it_the_books_agree(system):
    assert system.http.get("/health/ready").status_code == 200
    audit = await booking("audit", "--data-dir", str(system.up.data_dir))
    assert audit.code == 0, audit.output + audit.error
