"""What a reader is promised, kept by real processes that are paused, throttled, killed and late.

Each claim has a short form here and its full size under `make test-long`, which prints its figures.
Each is shown to be worth something: without the token, the same run shows what the token prevents.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from uuid import uuid4

import pytest
from line import Line
from query_nodes import clock_off_by, query_node
from running import Up, running
from sale import open_slot

LABORATORY = {"BOOKING_ENVIRONMENT": "laboratory"}


@pytest.fixture(scope="module")
async def up(tmp_path_factory):
    """One system for the tests that freeze parts of it at most, and let them go again."""
    async with running(tmp_path_factory.mktemp("up") / "data", environ=LABORATORY) as up:
        yield up


def projector_of(up: Up) -> list[int]:
    """The pid of the projector, which is another one after each restart."""
    return [pid for pid, command in up.family().items() if "projector.cli run" in command]


def signal_to(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


# It takes seconds until a projector that was killed is missed, so that is done less often.
FAULTS = {"pause": 10, "throttle": 20, "restart": 1}


async def hurt_the_projector(up: Up, chance: random.Random, done: Counter) -> None:
    """Pause it, let it run a few milliseconds at a time, kill it; for ever.

    What hurts nobody, because no projector is there at that moment, does not count.
    """
    while True:
        [fault] = chance.choices(list(FAULTS), list(FAULTS.values()))
        pids = projector_of(up)
        done[fault] += bool(pids)
        if fault == "pause":
            await stopped(pids, chance.uniform(0.05, 0.4))
        elif fault == "throttle":
            for _ in range(20):
                await stopped(pids, 0.015)
                await asyncio.sleep(0.005)  # polls: a rhythm of faults, nothing is waited for
        else:
            signal_to(pids, signal.SIGKILL)
            await asyncio.sleep(1.0)  # polls: a rhythm of faults, nothing is waited for
        await asyncio.sleep(chance.uniform(0, 0.2))  # polls: a rhythm of faults


async def stopped(pids: list[int], seconds: float) -> None:
    signal_to(pids, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)  # polls: a rhythm of faults, nothing is waited for
    finally:
        signal_to(pids, signal.SIGCONT)


async def read_own_bookings(up: Up, *, tries: int, guests: int, seed: int) -> Counter:
    """Book, and look at once for what was booked: with its token, and without.

    Goes on until there were so many tries, and at least one of every fault.
    """
    seen: Counter = Counter()
    faults: Counter = Counter()
    async with up.client() as client:
        slot_id = await open_slot(client, capacity=1_000_000)

    def goes_on() -> bool:
        return seen["tries"] < tries or not (hurting.done() or all(faults[f] for f in FAULTS))

    async def guest() -> None:
        async with Line(up.url) as line:
            while goes_on():
                booked = await line.post(
                    "/v1/bookings",
                    {
                        "customer_id": str(uuid4()),
                        "mode": "book",
                        "lines": [{"slot_id": slot_id, "units": 1}],
                    },
                    Idempotency_Key=str(uuid4()),
                )
                assert booked.status == 201, booked.json
                path = f"/v1/bookings/{booked.json['booking_id']}"
                plain = await line.get(path)
                seen["without token: missing"] += plain.status == 404
                own = await line.get(path, Consistency_Token=booked.token, Prefer="wait=10")
                kept = own.status == 200 and own.json["position"] >= booked.json["position"]
                refused = own.status in (412, 503)
                seen["refused honestly"] += refused
                seen["violations"] += not kept and not refused
                seen["tries"] += 1

    chance = random.Random(seed)  # noqa: S311  seeded, not secret
    hurting = asyncio.create_task(hurt_the_projector(up, chance, faults))
    try:
        await asyncio.gather(*(guest() for _ in range(guests)))
        assert not hurting.done(), "it was hurt until the last guest had gone"
    finally:
        hurting.cancel()
        await asyncio.gather(hurting, return_exceptions=True)
        signal_to(projector_of(up), signal.SIGCONT)
    return seen + Counter({f"fault: {name}": number for name, number in faults.items()})


async def test_your_own_booking_is_there_whatever_happens_to_the_projector(tmp_path):
    async with running(tmp_path / "data") as up:
        # This seed throttles it, kills it once and pauses it, before anything else.
        seen = await read_own_bookings(up, tries=200, guests=12, seed=517)
    assert seen["violations"] == 0
    assert seen["tries"] >= 200
    assert all(seen[f"fault: {fault}"] for fault in FAULTS)
    assert seen["refused honestly"] < 20
    assert seen["without token: missing"] > 0, "the control shows what the token prevents"


@pytest.mark.long
@pytest.mark.timeout(3000)
async def test_your_own_booking_is_there_in_100_000_tries(tmp_path, capsys):
    tries = int(os.environ.get("TRIES", "100000"))
    async with running(tmp_path / "data") as up:
        seen = await read_own_bookings(up, tries=tries, guests=128, seed=4)
    with capsys.disabled():
        print(f"\nread your own booking: {dict(seen)}")  # noqa: T201  the figures are what this test is for
    assert seen["violations"] == 0
    assert seen["tries"] >= tries
    assert all(seen[f"fault: {fault}"] for fault in FAULTS)
    assert seen["without token: missing"] > 0


async def bounded_reads(up: Up, node, *, seconds: float, seed: int, freezes: bool) -> Counter:
    """Write to one node and read from another with max-age=1, while something is frozen.

    Who waits a second may be answered by what goes on meanwhile; who does not is refused at once.
    """
    seen: Counter = Counter()
    async with up.client() as client:
        slot_id = await open_slot(client, capacity=1_000_000)
    returned: list[tuple[float, int]] = []  # when a booking was answered, and the slot's version
    end = time.monotonic() + seconds

    async def write() -> None:
        async with Line(up.url) as line:
            while time.monotonic() < end:
                booked = await line.post(
                    "/v1/bookings",
                    {
                        "customer_id": str(uuid4()),
                        "mode": "book",
                        "lines": [{"slot_id": slot_id, "units": 1}],
                    },
                    Idempotency_Key=str(uuid4()),
                )
                returned.append((time.monotonic(), booked.json["lines"][0]["version"]))
                await asyncio.sleep(0.002)  # polls: a rhythm of bookings

    async def read(wait: str) -> None:
        async with Line(node.url) as line:
            while time.monotonic() < end:
                sent = time.monotonic()
                due = max((v for at, v in returned[-3000:] if at < sent - 1), default=0)
                answer = await line.get(
                    f"/v1/slots/{slot_id}", Cache_Control="max-age=1", Prefer=wait
                )
                if answer.status == 200:
                    seen["answered"] += 1
                    seen["violations"] += answer.json["version"] < due
                else:
                    assert answer.status in (404, 412, 503), answer.json
                    seen[f"refused: {answer.json['type'].rpartition('/')[2]}"] += 1
                    seen["violations"] += answer.status == 404 and due > 0
                await asyncio.sleep(0.003)  # polls: a rhythm of reads

    async def freeze() -> None:
        chance = random.Random(seed)  # noqa: S311  seeded, not secret
        while freezes and time.monotonic() < end:
            await asyncio.sleep(chance.uniform(0.3, 0.8))  # polls: a rhythm of faults
            if chance.random() < 0.5:
                seen["froze the projector"] += 1
                await stopped(projector_of(up), chance.uniform(0.8, 2.5))
            else:
                seen["froze the query node"] += 1
                node.freeze()
                await asyncio.sleep(chance.uniform(0.8, 2.5))  # polls: a rhythm of faults
                node.thaw()

    readers = (read("wait=0"), read("wait=0"), read("wait=1"))
    await asyncio.gather(write(), write(), *readers, freeze())
    return seen


async def test_a_bounded_read_misses_nothing_older_also_past_a_frozen_projector_and_node(
    up,
):
    async with query_node(up) as node:
        # This seed freezes the projector for 1.4 s, and then the node for 1.2.
        seen = await bounded_reads(up, node, seconds=3.4, seed=256, freezes=True)
    assert seen["violations"] == 0
    assert seen["answered"] > 100
    assert refusals(seen) > 0
    assert seen["froze the projector"] > 0
    assert seen["froze the query node"] > 0


def refusals(seen: Counter) -> int:
    return sum(number for what, number in seen.items() if what.startswith("refused"))


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_bounded_read_misses_nothing_older_in_two_minutes_of_frozen_processes(up, capsys):
    seconds = float(os.environ.get("SECONDS", "120"))
    async with query_node(up) as node:
        seen = await bounded_reads(up, node, seconds=seconds, seed=2, freezes=True)
    with capsys.disabled():
        print(f"\nmax-age=1: {dict(seen)}")  # noqa: T201  the figures are what this test is for
    assert seen["violations"] == 0
    assert seen["answered"] > 1000
    assert refusals(seen) > seconds / 20
    assert seen["froze the projector"] > seconds / 20
    assert seen["froze the query node"] > seconds / 20


async def test_with_the_wall_clock_two_seconds_off_nothing_changes(up, tmp_path):
    fast, slow = clock_off_by(2, tmp_path), clock_off_by(-2, tmp_path)
    if fast is None or slow is None:
        pytest.skip("needs a C compiler and Linux to give a process another wall clock")
    async with query_node(up, **fast) as ahead, query_node(up, **slow) as behind:
        for seen in await asyncio.gather(
            *(
                bounded_reads(up, wrong, seconds=2, seed=3, freezes=False)
                for wrong in (ahead, behind)
            )
        ):
            assert seen["violations"] == 0
            assert seen["answered"] > 50
        # None thinks itself older or younger than the node of `up`, whose clock is right.
        ages = []
        for url in (ahead.url, behind.url, up.url) * 3:
            async with Line(url) as line:
                answer = await line.get("/v1/resources", Cache_Control="max-age=1")
                assert answer.status == 200
                ages.append(float(answer.headers["server-timing"].split("dur=")[1].split(",")[0]))
        assert max(ages) <= 1000, ages


async def journeys(up: Up, urls, *, number: int, seed: int) -> Counter:
    """Visitors who ask a node at random each time, with the token of the last answer or without."""
    seen: Counter = Counter()
    async with up.client() as client:
        slot_id = await open_slot(client, capacity=1_000_000)
    going = True

    async def write() -> None:
        async with Line(up.url) as line:
            while going:
                await line.post(
                    "/v1/bookings",
                    {
                        "customer_id": str(uuid4()),
                        "mode": "book",
                        "lines": [{"slot_id": slot_id, "units": 1}],
                    },
                    Idempotency_Key=str(uuid4()),
                )
                await asyncio.sleep(0.005)  # polls: a rhythm of bookings

    async def visit(with_token: bool, seed: int, journeys: int) -> None:
        chance, kind = random.Random(seed), "with token" if with_token else "without token"  # noqa: S311  seeded, not secret
        async with contextlib.AsyncExitStack() as stack:
            lines = [await stack.enter_async_context(Line(url)) for url in urls]
            for _ in range(journeys):
                token, version, went_back = "", 0, False
                for _ in range(6):
                    asked = {"Consistency_Token": token, "Prefer": "wait=10"} if token else {}
                    answer = await chance.choice(lines).get(
                        f"/v1/slots/{slot_id}", **(asked if with_token else {})
                    )
                    found = answer.json["version"] if answer.status == 200 else 0
                    assert answer.status in (200, 404), answer.json
                    went_back |= found < version
                    token, version = answer.token, found
                seen[f"{kind}: journeys"] += 1
                seen[f"{kind}: went back"] += went_back

    writing = asyncio.create_task(write())
    each = number // 8
    try:
        await asyncio.gather(
            *(visit(with_token=n % 2 == 0, seed=seed + n, journeys=each) for n in range(16))
        )
    finally:
        going = False
        await writing
    return seen


@contextlib.asynccontextmanager
async def three_nodes(up: Up):
    """Their addresses; the first, without a lag, is that of `up` itself."""
    async with (
        query_node(up, PROJECTOR_INJECTED_LAG_MS="60") as late,
        query_node(up, PROJECTOR_INJECTED_LAG_MS="200") as later,
    ):
        yield up.url, late.url, later.url


async def test_a_journey_over_nodes_of_different_lags_never_goes_back_with_tokens(up):
    async with three_nodes(up) as urls:
        seen = await journeys(up, urls, number=24, seed=5)
    assert seen["with token: went back"] == 0
    assert seen["with token: journeys"] == 24
    assert seen["without token: went back"] > 0.1 * seen["without token: journeys"]


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_2000_journeys_over_nodes_of_different_lags_never_go_back_with_tokens(up, capsys):
    async with three_nodes(up) as urls:
        seen = await journeys(up, urls, number=2000, seed=6)
    with capsys.disabled():
        print(f"\njourneys over three nodes: {dict(seen)}")  # noqa: T201  the figures are what this test is for
    assert seen["with token: went back"] == 0
    assert seen["without token: went back"] > 0.1 * seen["without token: journeys"]
