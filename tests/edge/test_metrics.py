"""Metrics: of requests by route template, and of children beside their parent."""

import asyncio
import subprocess
import sys

from a_tiny_part import THING, key, served, tiny_part
from plain_http import plain_http
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from booking.edge.metrics_listener import serve_metrics
from booking.edge.serving import bind, http_app


async def nothing() -> list[str]:
    return []


async def scrape(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    async with plain_http() as client:
        text = (await client.get(f"{url}/metrics")).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def labels(**of: str) -> frozenset[tuple[str, str]]:
    return frozenset(of.items())


async def test_requests_are_counted_by_route_method_and_status():
    app = http_app(tiny_part(key("alice", "read")), environment="development")
    async with (
        served(app) as client,
        serve_metrics(
            {"api": app.registries}, bound=bind("127.0.0.1", 0), missing=app.missing
        ) as url,
    ):
        for _ in range(3):
            await client.get(f"/v1/things/{THING}")
        await client.get("/v1/nowhere/really")
        await client.get("/v1/whoami", headers={"authorization": "Bearer mallory"})
        seen = await scrape(url)
    show = {"route": "/v1/things/{thing_id}", "method": "GET", "status": "200"}
    assert seen["http_requests_total", labels(**show)] == 3
    assert seen["http_request_duration_seconds_count", labels(**show)] == 3
    assert seen["http_request_duration_seconds_bucket", labels(**show, le="+Inf")] == 3
    assert seen["http_requests_total", labels(route="(none)", method="GET", status="404")] == 1
    assert seen["http_requests_total", labels(route="/v1/whoami", method="GET", status="401")] == 1
    assert seen["process_resident_memory_bytes", labels()] > 0


async def test_a_parent_shows_its_children_under_a_label_and_says_who_is_down():
    registry = CollectorRegistry()
    Counter("relayed", "Events relayed.", registry=registry).inc(7)
    with bind("127.0.0.1", 0) as vacant:
        nobody = f"http://127.0.0.1:{vacant.getsockname()[1]}"
    async with (
        serve_metrics({"relay": [registry]}, bound=bind("127.0.0.1", 0), missing=nothing) as child,
        serve_metrics(
            {"up": [CollectorRegistry()], "relay": child, "projector": nobody},
            bound=bind("127.0.0.1", 0),
            missing=nothing,
        ) as parent,
    ):
        seen = await scrape(parent)
    assert seen["relayed_total", labels(process="relay")] == 7
    assert seen["process_up", labels(process="relay")] == 1
    assert seen["process_up", labels(process="projector")] == 0
    assert seen["process_resident_memory_bytes", labels(process="up")] > 0


async def test_every_listener_answers_for_its_process_health():
    lacking = ["checkpoint"]

    async def missing() -> list[str]:
        return lacking

    async with (
        serve_metrics({"projector": []}, bound=bind("127.0.0.1", 0), missing=missing) as url,
        plain_http(url) as client,
    ):
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["missing"]) == (503, ["checkpoint"])
        lacking.clear()
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/v1/bookings")).status_code == 404


def test_a_process_that_shows_only_its_metrics_starts_without_the_framework():
    """Half of what the relay and the projector would import, each time one starts."""
    program = "import sys, booking.relay, projector.process; print('litestar' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert said.stdout == b"False\n"


async def test_counting_many_at_once_loses_none():
    app = http_app(tiny_part(), environment="development")
    async with served(app) as client:
        await asyncio.gather(*(client.get("/health/live") for _ in range(50)))
    counted = app.metrics.get_sample_value(
        "http_requests_total", {"route": "/health/live", "method": "GET", "status": "200"}
    )
    assert counted == 50
