"""A figure that rests on nothing is not believed: nobody looked, nobody was answered, nothing was shown."""

import asyncio
import contextlib

import msgspec
import pytest

from loadtest.bench import commit_to_visible
from loadtest.bench.age import too_few_looks
from loadtest.bench.calendar_page import PAGE, wrong_page
from loadtest.bench.figures import Measured, Turn
from loadtest.bench.guards_compared import UNITS_MAX, open_slots_for
from loadtest.bench.product import CAPACITY, OVERBOOKING
from loadtest.bench.rebuild_rate import Reads, unfit
from loadtest.bench.stream import following
from loadtest.failures import CannotRunError


def paced(arm, per_second):
    return Turn(
        arm=arm,
        seconds=1,
        answered=1,
        astray=0,
        per_second=per_second,
        clients=64,
        more={"visible_p50_ms": 1, "visible_p99_ms": 2, "own_read_p99_ms": 3},
    )


@pytest.mark.parametrize(("slow", "fast", "held"), [(990, 3950, 3), (940, 3950, 2), (990, 2400, 2)])
def test_a_latency_at_a_rate_is_promised_at_that_rate(slow, fast, held):
    turns = [
        paced("20/s", 19),
        paced("1,000/s", slow),
        paced("4,000/s", fast),
        paced("saturation", 100),
    ]
    measured = Measured(
        name="commit_to_visible",
        claim="it is visible",
        wanted=commit_to_visible.WANTED,
        turns=turns,
        broken=[],
    )
    rates = [found for found in measured.findings if "really answered" in found.wanted.says]
    assert sum(found.holds is True for found in rates) == held
    assert measured.holds is (held == 3)


def test_ages_at_which_hardly_anybody_looked_are_not_believed():
    assert too_few_looks([1.0] * 600, seconds=60) == []
    [said] = too_few_looks([1.0] * 599, seconds=60)
    assert "599 times only" in said
    assert too_few_looks([], seconds=1)


def test_a_rebuild_that_was_read_meanwhile_and_came_to_the_end_is_believed():
    assert unfit(Reads(positions=[7, 7, 8]), position=8, events=8) == []


@pytest.mark.parametrize(
    ("positions", "position", "why"),
    [
        ([], 8, "Nobody could read meanwhile."),
        ([8, 7], 8, "A reader was shown an older position than before."),
        ([8], 7, "The rebuild ended at position 7 of 8."),
    ],
)
def test_a_rebuild_that_nobody_could_read_or_that_went_back_or_stopped_is_not(
    positions, position, why
):
    assert unfit(Reads(positions=positions), position=position, events=8) == [why]


def page_of(slots, confirmed):
    return msgspec.json.encode({"slots": [{"confirmed": confirmed}] * slots})


def test_a_page_shows_all_slots_with_what_was_sold():
    assert wrong_page(page_of(PAGE, 2), sold=2 * PAGE) == []
    assert (
        "100 slots with 100 units sold, of 100 with 200"
        in wrong_page(page_of(PAGE, 1), sold=200)[0]
    )
    assert "50 slots" in wrong_page(page_of(PAGE // 2, 4), sold=200)[0]


@contextlib.asynccontextmanager
async def answering(said):
    """A server that says one thing to everybody and hangs up."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_stream_that_is_refused_says_why():
    async with answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as url:
        with pytest.raises(CannotRunError, match="answered 503, not a stream"):
            async with following(url, "a-slot", []):
                pass


async def test_a_stream_that_ends_is_told_to_who_waits_and_again_at_the_end():
    one = b'HTTP/1.1 200 OK\r\n\r\nevent: slot\ndata: {"position": 3}\n\n'
    ended = pytest.raises(CannotRunError, match="ended before the sale did")
    async with answering(one) as url:
        with ended:
            async with following(url, "a-slot", []) as seen:
                await seen.reached(3)
                with pytest.raises(CannotRunError):
                    await seen.reached(4)


class Inventory:
    """Counts the units of slots that are opened."""

    units = 0

    async def open_slots(self, count, *, capacity=CAPACITY, overbooking=OVERBOOKING):
        self.units += count * (capacity + overbooking)
        return ["a-slot"] * count


@pytest.mark.parametrize("slots", [1, 16, 1000])
async def test_where_every_unit_is_a_row_no_more_are_made_than_there_is_time_for(slots):
    inventory = Inventory()
    assert await open_slots_for("row_per_unit", inventory, slots) == ["a-slot"] * slots
    assert 0 < inventory.units <= UNITS_MAX
    await open_slots_for("unguarded", inventory, 1)
    assert inventory.units > CAPACITY
