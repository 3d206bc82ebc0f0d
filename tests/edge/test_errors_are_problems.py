"""Every error is a problem answer that says what, where, and under which trace."""

import re

import pytest
from a_tiny_part import THING, Streams, served, tiny_server

from booking.edge.failures import Misconfigured
from booking.edge.parts import Part
from booking.edge.problems import ProblemType, table_of
from booking.edge.serving import http_app
from booking.edge.trace import traceparent

MEMBERS = {"type", "title", "status", "detail", "instance", "trace_id"}


async def test_a_problem_says_what_and_where(tiny):
    answer = await tiny.get("/v1/nowhere")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == MEMBERS
    assert problem["type"] == "/problems/not-found"
    assert problem["instance"] == "/v1/nowhere"


@pytest.mark.parametrize(
    "spelling", ["{{{}}}", "urn:uuid:{}", "URN:UUID:{}", "{}-", "-{}", "%7B{}%7D", "{}%20", "7"]
)
async def test_an_id_in_a_path_that_would_be_none_in_a_body_leads_nowhere(tiny, spelling):
    for answer in (
        await tiny.get(f"/v1/things/{spelling.format(THING)}"),
        await tiny.post(f"/v1/things/{spelling.format(THING)}/touch"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("spelling", [THING, THING.upper(), THING.replace("-", "")])
async def test_an_id_in_a_path_may_be_written_as_in_a_body(tiny, spelling):
    assert (await tiny.get(f"/v1/things/{spelling}")).status_code == 200
    assert (await tiny.post(f"/v1/things/{spelling}/touch")).status_code == 200


async def test_where_is_a_uri_reference_whatever_the_path(tiny):
    answer = await tiny.get("/v1/%5E%00%C3%A9%20b:@c")
    assert answer.json()["instance"] == "/v1/%5E%00%C3%A9%20b:@c"


async def test_the_trace_of_the_caller_is_told_back(tiny):
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"traceparent": f"00-{trace}-b7ad6b7169203331-03"}
    assert (await tiny.get("/v1/nowhere", headers=sent)).json()["trace_id"] == trace
    fresh = (await tiny.get("/v1/nowhere", headers={"traceparent": "nonsense"})).json()["trace_id"]
    assert len(fresh) == 32
    assert fresh != trace


def test_blanks_around_a_trace_are_no_part_of_it():
    sent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert traceparent({"headers": [(b"traceparent", sent + b" \t")]}) == sent.decode()


async def test_a_refusal_carries_its_own_members(tiny):
    answer = await tiny.post("/v1/things", json={"name": "refused"})
    assert answer.status_code == 409
    assert answer.json()["used"] == 3
    assert answer.json()["title"] == "Refused"


async def test_a_defect_tells_no_secrets(tiny):
    answer = await tiny.post("/v1/things", json={"name": "defect"})
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal-error"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "thing", ["7", "not-a-uuid", "0190a0b0-0000-7000-8000-00000000000g", "%00"]
)
async def test_an_id_that_is_no_uuid_is_nowhere(tiny, thing):
    assert (await tiny.get(f"/v1/things/{thing}")).status_code == 404


async def test_another_method_is_told_which_ones_are_taken(tiny):
    answer = await tiny.delete(f"/v1/things/{THING}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.json()["type"] == "/problems/method-not-allowed"
    answer = await tiny.get("/v1/things")
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")


async def test_head_is_answered_where_get_is(tiny):
    answer = await tiny.head(f"/v1/things/{THING}")
    got = await tiny.get(f"/v1/things/{THING}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == got.headers["content-length"]
    assert (await tiny.head("/v1/nowhere")).status_code == 404
    assert (await tiny.head(f"/v1/things/{THING}?limit=0")).status_code == 400
    assert (await tiny.head("/v1/things")).status_code == 405


async def test_head_of_an_endless_stream_ends():
    streams = Streams()
    async with served(http_app(streams.part(), environment="development")) as client:
        answer = await client.head("/v1/stream")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "query",
    [
        "unknown=1",
        "limit=1&limit=2",
        "limit=0",
        "limit=1001",
        "limit=ten",
        "limit=",
        "limit=1.5",
        "limit=" + "9" * 5000,
        "from=2030-01-01T00:00:00",
        "from=0",
        "from=1e9",
        "from=9999-12-31T23:59:59-01:00",
        "slot_id=7",
        "slot_id=" + THING + ",,",
        "limit=%00",
        "limit=%ff",
        "limit",
    ],
)
async def test_a_wrong_query_parameter_is_refused(tiny, query):
    answer = await tiny.get(f"/v1/things/{THING}?{query}")
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/invalid-parameter"


async def test_right_query_parameters_are_read(tiny):
    answer = await tiny.get(
        f"/v1/things/{THING}?limit=7&slot_id={THING},{THING}&from=2030-01-01T00:00:00%2B01:00"
    )
    assert answer.json() == {"limit": 7, "slots": [THING, THING]}
    assert (await tiny.get(f"/v1/things/{THING}")).json()["limit"] == 100


async def test_a_command_takes_no_query_parameters(tiny):
    answer = await tiny.post("/v1/things?limit=1", json={"name": "a"})
    assert answer.json()["type"] == "/problems/invalid-parameter"


async def test_every_problem_leads_to_its_explanation(tiny):
    slug = (await tiny.get("/v1/nowhere")).json()["type"]
    explained = await tiny.get(slug)
    assert explained.status_code == 200
    assert set(explained.json()) == {"slug", "title", "status", "meaning", "remedy"}
    page = await tiny.get(slug, headers={"accept": "text/html"})
    assert "What to do" in page.text
    assert (await tiny.get("/problems/unheard-of")).status_code == 404
    assert (
        "/problems/thing-refused"
        in (await tiny.get("/problems", headers={"accept": "text/html,*/*"})).text
    )


async def test_pages_from_named_origins_may_read_the_answers_and_no_others():
    shop = {"origin": "https://shop.example"}
    asked = {"access-control-request-method": "POST"}
    async with tiny_server(
        environment="production", allowed_origins=["https://shop.example"]
    ) as client:
        preflight = await client.options("/v1/things", headers={**shop, **asked})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == shop["origin"]
        assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
        refused = await client.get("/v1/whoami", headers=shop)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == shop["origin"]
        assert "Consistency-Token" in refused.headers["access-control-expose-headers"]
        stranger = await client.get("/health/live", headers={"origin": "https://other.example"})
        assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize(("name", "status"), [("a", 201), ("refused", 409), ("defect", 500)])
async def test_a_page_from_a_named_origin_may_read_what_became_of_its_command(name, status):
    shop = {"origin": "https://shop.example"}
    async with tiny_server(allowed_origins=["https://shop.example"]) as client:
        answer = await client.post("/v1/things", json={"name": name}, headers=shop)
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == shop["origin"]
    assert "Location" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "wrong", ["shop.example", "https://shop.example/cart", "https:shop.example", "https://"]
)
def test_an_origin_that_no_browser_would_name_is_refused_at_the_start(wrong):
    with pytest.raises(Misconfigured, match="BOOKING_ALLOWED_ORIGINS names '" + re.escape(wrong)):
        http_app(allowed_origins=["https://shop.example", "*", wrong])
    http_app(allowed_origins=["https://shop.example:8443/", "chrome-extension://abc", "*"])


async def test_a_strange_host_header_is_no_defect(tiny):
    answer = await tiny.get("/health/live", headers={"host": "a b"})
    assert answer.status_code in (200, 400)


async def test_options_tells_the_methods(tiny):
    answer = await tiny.options(f"/v1/things/{THING}")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "content-length" not in answer.headers


def test_one_problem_cannot_have_two_statuses():
    other = ProblemType(slug="not-found", title="t", status=410, meaning="m", remedy="r")
    with pytest.raises(ValueError, match="not-found"):
        http_app(Part(name="odd", handlers=[], problems=table_of(other)))
