"""One rule: what changes something, and what asks for a command's fate, goes to the side that decides."""

import json
import re

import pytest
from gateway import CONFIGURATION, side_of

from booking.edge.problems import PROBLEMS
from booking.edge.requests import BODY_SIZE_MAX


@pytest.mark.parametrize(
    ("method", "path", "side"),
    [
        ("POST", "/v1/bookings", "commands"),
        ("POST", "/v1/bookings/0197f0c0-0000-7000-8000-000000000001/confirm", "commands"),
        ("GET", "/v1/commands/sale-1", "commands"),
        ("HEAD", "/v1/commands/sale-1", "commands"),
        ("GET", "/v1/bookings", "queries"),
        ("HEAD", "/v1/availability", "queries"),
        ("GET", "/v1/availability/stream", "queries"),
        ("GET", "/v1/commandsandmore", "queries"),
        ("OPTIONS", "/v1/bookings", "queries"),
        ("GET", "/schema/openapi.json", "queries"),
        ("GET", "/health/live", "queries"),
    ],
)
def test_each_request_goes_to_the_side_that_can_answer_it(method, path, side):
    assert side_of(method, path) == side


def test_metrics_are_not_for_the_public():
    assert "location = /metrics { return 404; }" in CONFIGURATION


def test_what_may_stand_in_a_query_is_not_logged():
    """A ticket lets its reader in, and `$request`, `$request_uri` and `$args` would show it."""
    [(name, logged)] = re.findall(r"^log_format (\w+) '(.+)';$", CONFIGURATION, re.MULTILINE)
    assert f"access_log /var/log/nginx/access.log {name};" in CONFIGURATION
    assert not {"request", "request_uri", "args", "query_string"} & {
        *re.findall(r"\$(\w+)", logged)
    }


def test_a_command_is_sent_once_and_a_stream_leaves_at_once():
    settings = dict(re.findall(r"^\s+(proxy_\w+) (\w+);$", CONFIGURATION, re.MULTILINE))
    assert settings["proxy_next_upstream"] == "off"
    assert settings["proxy_buffering"] == "off"


def test_the_gateway_refuses_large_bodies_in_the_words_of_the_api():
    said = json.loads(re.search(r"return 413 '(.+)';", CONFIGURATION)[1])
    problem = PROBLEMS["content-too-large"]
    assert f"client_max_body_size {BODY_SIZE_MAX >> 20}m;" in CONFIGURATION
    assert (said["type"], said["title"]) == ("/problems/content-too-large", problem.title)
    assert f"{BODY_SIZE_MAX} bytes" in said["detail"]
