"""Whatever is sent to any route, the answer is one that the document promises, and never a defect."""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from eventually import eventually
from hypothesis import HealthCheck, settings
from running import Up, booking, running
from schemathesis.config import SchemathesisConfig

from booking.edge.published import FOLDER, OPENAPI

FIRST_KEY = "the-key-that-production-wants"
LAST = ("/close", "/cancel", "/release", "/confirm")
"""What ends bookings or sales comes last, so that there is something left for the others."""
STARTS, ENDS = "2030-01-01T19:00:00Z", "2030-01-01T22:00:00Z"


def strict(tree: Any) -> Any:
    """The document, read so that no object may have a member that it does not name."""
    if isinstance(tree, list):
        return [strict(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    inner = {name: strict(each) for name, each in tree.items()}
    if inner.get("type") == "object" and "properties" in inner:
        inner.setdefault("additionalProperties", False)
    return inner


TREE = json.loads((FOLDER / OPENAPI).read_bytes())
TREE["paths"] = dict(
    sorted(TREE["paths"].items(), key=lambda each: [not each[0].endswith(verb) for verb in LAST])[
        ::-1
    ]
)
NOT_THIS_METHOD = TREE["components"]["responses"]["MethodNotAllowed"]
OF_EVERY_ANSWER = {
    *("date", "connection", "transfer-encoding"),
    *("content-type", "content-length", "content-security-policy", "cache-control", "vary"),
    "x-accel-buffering",
}
"""Headers for what lies between client and server; they say nothing of what was asked for."""
DOCUMENT = schemathesis.openapi.from_dict(
    strict(TREE),
    config=SchemathesisConfig.from_dict(
        {
            "max-stream-events": 1,
            # A cursor, a token, a time zone that is none: more is refused than a schema can say.
            "checks": {"positive_data_acceptance": {"enabled": False}},
            "operations": [
                # A list too many may come to nothing in a query, and what is left is right.
                {
                    "include-path": "/v1/availability/stream",
                    "checks": {"negative_data_rejection": {"enabled": False}},
                }
            ],
        }
    ),
)
UNHURRIED = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
BOUNDED = settings(UNHURRIED, max_examples=8, derandomize=True)
LONG = settings(UNHURRIED, max_examples=200)


@dataclass
class Asked:
    """A system with something in it, and which answers each operation has given."""

    up: Up
    session: requests.Session
    ids: dict[str, list[str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    answered: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))

    def ask(self, case: schemathesis.Case) -> None:
        """Send it, mostly about something that exists, and hold the answer against the document."""
        self._about_what_exists(case)
        self.send(case)

    def send(self, case: schemathesis.Case) -> schemathesis.Response:
        """Send it as it is, and hold the answer against the document."""
        answer = case.call(base_url=self.up.url, session=self.session, timeout=15)
        case.validate_response(
            answer, additional_checks=[names_a_documented_problem, carries_documented_headers]
        )
        self.answered[case.operation.label][answer.status_code] += 1
        return answer

    def _about_what_exists(self, case: schemathesis.Case) -> None:
        """Most texts of a right request become such as a client would have; wrong ones stay wrong."""
        if case.meta.generation.mode.is_negative:
            return
        usual = self.ids | {"time_zone": ["UTC"], "starts_at": [STARTS], "ends_at": [ENDS]}
        verb = case.path.rpartition("/")[2]
        usual |= {
            name: ids[zlib.crc32(verb.encode()) % len(ids) :] for name, ids in self.ids.items()
        }
        for part in (case.path_parameters, case.body):
            _mostly(part, usual)
        _mostly(case.query, usual | {"token": self.tokens, "from": [STARTS], "to": [ENDS]})
        if "cursor" in case.query and _chosen(case.query["cursor"]):
            del case.query["cursor"]  # an answer gives it
        tokens = dict.fromkeys(("Consistency-Token", "Based-On", "Last-Event-ID"), self.tokens)
        versions = {"If-Match": ["*"], "If-None-Match": ['"1"', '"2"']}
        controls = {"Prefer": ["wait=0"], "Cache-Control": ["no-cache", "max-age=60"]}
        _mostly(case.headers, {"Idempotency-Key": [str(uuid4())]} | tokens | versions | controls)


def _mostly(tree: Any, usual: dict[str, list[str]]) -> None:
    for name, value in tree.items() if hasattr(tree, "items") else ():
        if isinstance(value, str) and name in usual and (number := _chosen(value)):
            tree[name] = usual[name][number % len(usual[name])]
        for each in value if isinstance(value, list) else [value]:
            _mostly(each, usual)


def _chosen(value: object) -> int:
    """0 for one of eight values; the same for the same value, so that a failure can be repeated."""
    number = zlib.crc32(repr(value).encode())
    return number if number % 8 else 0


@schemathesis.check
def names_a_documented_problem(ctx, response, case) -> None:
    documented = TREE["paths"][case.path].get(case.method.lower())
    if documented and response.headers.get("content-type") == ["application/problem+json"]:
        slug = response.json()["type"].removeprefix("/problems/")
        promised = documented["responses"][str(response.status_code)]["description"]
        assert f"`{slug}`" in promised, f"{slug} is not documented"


@schemathesis.check
def carries_documented_headers(ctx, response, case) -> None:
    operation = TREE["paths"][case.path].get(case.method.lower())
    told = operation["responses"][str(response.status_code)] if operation else NOT_THIS_METHOD
    documented = {name.lower() for name in told.get("headers", {})}
    strangers = response.headers.keys() - documented - OF_EVERY_ANSWER
    assert not strangers, f"{', '.join(strangers)} of {response.status_code} is not documented"


@pytest.fixture(scope="module")
async def asked(tmp_path_factory) -> AsyncIterator[Asked]:
    # Ready in production takes a key; what asks here has another one, whose rate is no limit.
    environ = {"BOOKING_ENVIRONMENT": "production", "BOOKING_INITIAL_KEY": FIRST_KEY}
    folder = tmp_path_factory.mktemp("documented") / "data"
    async with running(folder, environ=environ) as up:
        scopes = ("inventory:write", "bookings:write", "read", "operate")
        made = await booking(
            *("keys", "create", "asks-everything", "--data-dir", str(folder)),
            *("--rate", "100000", "--burst", "100000"),
            *(word for scope in scopes for word in ("--scope", scope)),
        )
        assert made.code == 0, made.error
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {made.output.strip()}"
            url = f"{up.url}/v1/consistency"
            await eventually(lambda: session.get(url, timeout=15).status_code == 200, within_s=15)
            yield something_in_it(Asked(up, session))


def something_in_it(asked: Asked) -> Asked:
    """A resource with slots, and bookings in several states.

    What is made succeeds here for certain, whatever chance asks for once slots are closed or full.
    """
    ids = asked.ids = {"key": [], "slug": ["capacity-exceeded", "not-decided"]}

    def make(path: str, body: dict, **of: str) -> dict:
        ids["key"].append(str(uuid4()))
        headers = {"Idempotency-Key": ids["key"][-1]}
        case = DOCUMENT[path]["POST"].Case(body=body, headers=headers, path_parameters=of)
        answer = asked.send(case)
        assert answer.status_code == 201, answer.text
        asked.tokens += answer.headers["consistency-token"]
        return answer.json()

    policy = {"units_per_booking_max": 5, "units_per_customer_max": 20}
    hall = make("/v1/resources", {"name": "Hall", "time_zone": "UTC", "policy": policy})
    times = {"starts_at": STARTS, "ends_at": ENDS}
    opened = make(
        "/v1/resources/{resource_id}/slots",
        {"slots": [times | {"capacity": 200} for _ in range(3)]},
        resource_id=hall["resource_id"],
    )
    ids["resource_id"] = [hall["resource_id"]]
    ids["slot_id"] = [slot["slot_id"] for slot in opened["slots"]]
    ids["customer_id"] = [str(uuid4()) for _ in range(2)]
    lines = [{"slot_id": slot, "units": 1} for slot in ids["slot_id"][:2]]
    ids["booking_id"] = [
        make("/v1/bookings", {"customer_id": customer, "mode": mode, "lines": lines})["booking_id"]
        for customer in ids["customer_id"]
        for mode in ["hold"] * 10 + ["book"]
    ]
    return asked


@DOCUMENT.parametrize()
@BOUNDED
def test_every_answer_is_a_documented_one(case, asked):
    asked.ask(case)


@pytest.mark.long
@pytest.mark.timeout(900)
@DOCUMENT.parametrize()
@LONG
def test_every_answer_to_many_more_requests_is_a_documented_one(case, asked):
    asked.ask(case)


async def test_after_all_of_it_the_books_agree_and_nothing_was_a_defect(asked):
    never = [label for label, each in asked.answered.items() if not {200, 201} & set(each)]
    assert not never, f"no request of these succeeded, so their answers were not seen: {never}"
    async with asked.up.client() as http:
        assert (await http.get("/health/ready")).status_code == 200
    assert '"request_failed"' not in asked.up.log.read_text()
    audit = await booking("audit", "--data-dir", str(asked.up.data_dir))
    assert audit.code == 0, audit.output + audit.error
