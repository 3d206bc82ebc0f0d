"""The README as a new user follows it: every line of its session is run, every answer compared."""

import re
from pathlib import Path

import httpx
import pytest
from examples import Terminal, examples

from booking.cli import booking
from loadtest.cli import cli as loadtest
from projector.cli import projector

README = Path(__file__).parents[2] / "README.md"
SOMETHING = "7d2f0c7e-4c52-4b5e-9f0e-3a6c1d9b0001"


async def test_the_readme_alone_is_enough_to_hold_confirm_cancel_and_watch(system):
    async with Terminal(system.folder, system.url) as terminal:
        for example in examples(README):
            await terminal.run(example)
        await terminal.finish()


def test_every_command_is_in_the_readme_and_no_other():
    programs = {"booking": booking, "projector": projector, "loadtest": loadtest}
    there = {f"{name} {each}" for name, program in programs.items() for each in program.commands}
    table = README.read_text().partition("| command | does |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`((?:booking|projector|loadtest) \w+)`", table)) == there


def test_every_folder_of_the_map_is_there():
    table = README.read_text().partition("| folder | what happens there |")[2].partition("\n\n")[0]
    for place in re.findall(r"`([\w./-]+)`", table):
        assert (README.parent / place).exists() or list(README.parent.rglob(place)), place


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("POST", f"/v1/slots/{SOMETHING}/{verb}") for verb in ("resize", "close", "reopen")],
        *[
            ("POST", f"/v1/bookings/{SOMETHING}/{verb}")
            for verb in ("extend", "reschedule", "transfer")
        ],
        *[("GET", f"/v1/{noun}/{SOMETHING}/history") for noun in ("slots", "bookings")],
        ("POST", f"/v1/resources/{SOMETHING}/policy"),
        ("GET", f"/v1/resources/{SOMETHING}/overview"),
        ("GET", "/v1/activity"),
        ("POST", "/v1/tickets"),
    ],
)
async def test_what_the_readme_calls_missing_is_not_pretended(system, method, path):
    async with httpx.AsyncClient(base_url=system.url, timeout=10) as client:
        assert (await client.request(method, path)).status_code == 404


async def test_limits_that_are_not_kept_yet_are_refused(system):
    async with httpx.AsyncClient(base_url=system.url, timeout=10) as client:
        for limit in ("units_per_booking_max", "units_per_customer_max"):
            refused = await client.post(
                "/v1/resources",
                headers={"Idempotency-Key": limit},
                json={"name": "x", "time_zone": "UTC", "policy": {limit: 2}},
            )
            assert refused.status_code == 422
