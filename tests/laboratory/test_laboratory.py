"""The place scenarios work in, on a real system: parts of their own, people whose requests become operations, trials that are on disk when they end."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from eventually import eventually
from msgspec import structs
from processes_about import processes_about
from told import HALL, did

from loadtest.checkers.honest_refusals import honest_refusals
from loadtest.checkers.integrity import integrity
from loadtest.checkers.read_your_writes import read_your_writes
from loadtest.driver import Client
from loadtest.driver.event_stream import events
from loadtest.evidence.trial import OneByOne, read_records
from loadtest.experiment.laboratory import Laboratory, Recorder, Target
from loadtest.experiment.scenario import Arm
from loadtest.failures import CannotRunError
from loadtest.system.booking_up import booking_up
from loadtest.system.inventory import open_resource
from loadtest.system.part import Part
from loadtest.system.system import LogFile
from loadtest.workloads.generators import generate
from loadtest.workloads.person import Person

GUARDED = Arm(name="guarded", guard="on")


class Quiet:
    def step(self, text: str) -> None:
        pass


def laboratory(tmp_path, **more) -> Laboratory:
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return Laboratory(
        seed=7,
        folder=tmp_path / "out",
        scratch=tmp_path / "scratch",
        progress=Quiet(),
        **more,
    )


def test_the_same_seed_gives_the_same_people_whatever_the_arm(tmp_path):
    one, other = laboratory(tmp_path).rng("people", 3), laboratory(tmp_path).rng("people", 3)
    assert one.getrandbits(64) == other.getrandbits(64)
    assert laboratory(tmp_path).rng("others").getrandbits(64) != one.getrandbits(64)


async def test_what_people_do_is_on_disk_with_its_log_when_the_trial_ends(tmp_path):
    lab = laboratory(tmp_path)
    async with lab.system(GUARDED) as system, system.client() as client:
        opened = await system.open_resource(capacities=[5, 5], rng=lab.rng("slots"))
        hall, foyer = opened.slot_ids
        async with lab.trial(system, GUARDED, {"S ms": 0}, slot_ids=[hall, foyer]) as record:
            anna = Person(client, record, 1, lab.rng("anna"), digests=True)
            look = await anna.look(hall, strong=True)
            assert (look.remaining, look.level, look.condition) == (5, "strong", "strong")
            hold = await anna.hold(hall, 2, based_on=look.token_out, intent="an evening")
            assert (hold.status, hold.remaining, hold.version) == (201, 3, 2)
            assert (hold.booking_version, hold.state) == (1, "held")
            again = await anna.hold(hall, 2, key=hold.key, intent="an evening")
            assert (again.replayed, again.digest) == (True, hold.digest)
            confirm = await anna.change("confirm", hold.booking_id)
            assert (confirm.state, confirm.version, confirm.booking_version) == ("confirmed", 3, 2)
            seen = await anna.read_booking(hold.booking_id, token=confirm.token_out)
            assert (seen.status, seen.booking_version, seen.state) == (200, 2, "confirmed")
            stay = await anna.book([(hall, 1), (foyer, 1)])
            assert sorted(line.remaining for line in stay.lines) == [2, 4]
            refused = await anna.book([(hall, 1), (foyer, 9)])
            named = [line for line in refused.lines if line.version is not None]
            assert (refused.status, refused.problem) == (409, "capacity-exceeded")
            assert [(line.slot_id, line.remaining) for line in named] == [(foyer, 4)]
            resized = await anna.resize(foyer, 3, if_match=2)
            assert (resized.status, resized.capacity, resized.version) == (200, 3, 3)
            assert (await anna.resize(foyer, 4, if_match=2)).problem == "version-mismatch"
            record.note(answer=42)
    [kept] = read_records(tmp_path / "out")
    [again] = OneByOne(tmp_path / "out")
    assert (again.operations, again.events) == (kept.operations, kept.events)
    assert kept.operations == record.operations
    assert kept.trial.facts == {"answer": 42}
    assert [event.type for event in kept.events] == [
        *("SlotOpened", "SlotOpened", "HoldPlaced", "BookingConfirmed", "BookingConfirmed"),
        "SlotResized",
    ]
    assert integrity(kept.operations, kept.events).verdict == "valid"
    assert read_your_writes(kept.operations, kept.events).verdict == "valid"
    assert processes_about(tmp_path) == []


async def test_parts_of_their_own_lag_stand_still_die_and_come_back(tmp_path, monkeypatch):
    lab = laboratory(tmp_path)
    parts: list[Part] = []

    async def projector_apart(system) -> None:
        parts.append(await system.part("projector", until_ready=False))

    async with (
        lab.system(GUARDED, parts="api,relay,queries", beside=projector_apart) as system,
        system.client() as client,
    ):
        [projector] = parts
        opened = await system.open_resource(capacities=[50], rng=lab.rng("slots"))
        [slot_id] = opened.slot_ids
        late = await system.part("queries", {"PROJECTOR_INJECTED_LAG_MS": "400"})
        async with lab.trial(system, GUARDED, {"S ms": 400}, slot_ids=[slot_id]) as record:
            ben = Person(client, record, 2, lab.rng("ben"))
            async with system.client(late.url) as elsewhere:
                # A node asked for a slot for the first time answers when what it has read is due.
                await ben.look(slot_id, client=elsewhere, node="late")
                booked = await ben.book(slot_id)
                assert (await ben.look(slot_id, token=booked.token_out)).version == 2
                behind = await ben.look(slot_id, client=elsewhere, node="late")
                assert (behind.version, behind.node) == (1, "late")
                waited = await ben.look(slot_id, client=elsewhere, token=booked.token_out)
                assert waited.version == 2

            with system.faults.marked("projector paused"):
                system.faults.pause(projector.pid)
                missed = await ben.book(slot_id)
                assert (await ben.look(slot_id)).version == 2
                system.faults.resume(projector.pid)
                assert (await ben.look(slot_id, token=missed.token_out, wait_s=10)).version == 3
            assert [mark.what for mark in system.faults.marks] == ["projector paused"]

            await projector.kill()
            with pytest.raises(ProcessLookupError):
                _ = projector.pid
            gone = await ben.book(slot_id)
            assert (await ben.look(slot_id)).version == 3
            await projector.start()
            assert (await ben.look(slot_id, token=gone.token_out, wait_s=10)).version == 4

            stream = events(system.url, f"/v1/availability/stream?slot_id={slot_id}")
            first = await anext(stream)
            assert (first.event, '"version":4' in first.data) == ("snapshot", True)
            await stream.aclose()

            assert system.pid_of("relay") != system.pid_of("api")
            with pytest.raises(CannotRunError, match="runs no projector"):
                system.pid_of("projector")

            before = len(record.operations)
            monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
            await generate(
                lab,
                record,
                work="a_share_of_looking:shop",
                url=system.url,
                count=2,
                within_s=10,
                args={"slot_id": slot_id, "looks": 5},
            )
            assert len(record.operations) - before == 10
            assert record.facts["shares"] == [{"looked": 5}] * 2
    assert processes_about(tmp_path) == []


async def test_somebodys_deployment_is_left_as_it_was(tmp_path):
    own = laboratory(tmp_path)
    async with own.system(GUARDED) as theirs, theirs.client() as client:
        before = await theirs.open_resource(capacities=[5], rng=own.rng("theirs"))
        (tmp_path / "visit").mkdir()
        guest = laboratory(tmp_path / "visit", target=Target(url=theirs.url))
        async with guest.system(GUARDED) as system:
            opened = await system.open_resource(capacities=[5], rng=guest.rng("slots"))
            [slot_id] = opened.slot_ids
            async with (
                guest.trial(system, GUARDED, {"S ms": 0}, slot_ids=[slot_id]) as record,
                system.client() as guests,
            ):
                carla = Person(guests, record, 1, guest.rng("carla"))
                await carla.book(slot_id, 2)
                await carla.hold(slot_id, 1)
            with pytest.raises(CannotRunError, match="leave out --target"):
                await system.part("queries")
        # The same people again have ids of their own, which the deployment does not know yet.
        again = laboratory(tmp_path / "visit", target=Target(url=theirs.url))
        async with again.system(GUARDED) as system, system.client() as guests:
            opened = await system.open_resource(capacities=[5], rng=again.rng("slots"))
            carla = Person(guests, Recorder("", ""), 1, again.rng("carla"))
            booked = await carla.book(opened.slot_ids[0], 2)
            assert (booked.status, booked.version, booked.replayed) == (201, 2, False)
        [kept] = read_records(tmp_path / "visit/out")
        assert [event.type for event in kept.events][-2:] == ["BookingConfirmed", "HoldPlaced"]
        async with own.trial(theirs, GUARDED, {"S ms": 0}) as record:
            owner = Person(client, record, 1, own.rng("owner"))
            left = await owner.look(slot_id, strong=True)
            assert (left.held, left.confirmed) == (0, 0)
            assert (await owner.book(slot_id)).problem == "slot-closed"
            assert (await owner.look(before.slot_ids[0], strong=True)).version == 1


async def test_a_deployment_that_is_not_there_is_said_to_be(tmp_path):
    lab = laboratory(tmp_path, target=Target(url="http://127.0.0.1:9"))
    with pytest.raises(CannotRunError, match="does not answer"):
        async with lab.system(GUARDED):
            pass


async def test_a_key_that_may_not_set_up_an_experiment_is_told_which_scopes_it_needs(tmp_path):
    class Refusing:
        async def request(self, *_, **__):
            return SimpleNamespace(status=403, outcome="failed", body=b"{}")

    with pytest.raises(CannotRunError, match=r"LOADTEST_KEY\.$"):
        await open_resource(Refusing(), capacities=[1], rng=laboratory(tmp_path).rng("slots"))


async def test_one_trial_of_many_is_read_without_those_before_it(tmp_path):
    lab = laboratory(tmp_path)

    class Nowhere:
        log = LogFile(tmp_path / "out" / "log.jsonl")
        reads_log = False
        faults = type("F", (), {"marks": []})

    for number in (1, 2):
        async with lab.trial(Nowhere(), GUARDED, {"S ms": number}, slot_ids=[HALL]) as record:
            record.operations.append(structs.replace(did("look", number), run=record.name))
    history = tmp_path / "out" / "history.jsonl"
    first, second = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"#" * len(first) + second)  # nobody could read it

    [kept] = read_records(tmp_path / "out", only=[record.name])

    assert kept.operations == record.operations == OneByOne(tmp_path / "out")[1].operations


def test_a_log_says_from_where_on_it_is_about_a_slot(tmp_path):
    log = LogFile(tmp_path / "log.jsonl")
    log.opened(["a", "b"], at=300)
    log.opened(["c"], at=500)
    assert [log.since(slots) for slots in (["c"], ["b", "c"], ["c", "unknown"], [])] == [
        *(500, 300, 0, 0)
    ]


async def test_an_interrupted_trial_is_kept_and_not_judged(tmp_path):
    lab = laboratory(tmp_path)

    class Nowhere:
        log = LogFile(tmp_path / "none")
        reads_log = True
        faults = type("F", (), {"marks": []})

    with pytest.raises(asyncio.CancelledError):  # noqa: PT012 -- the trial is what is left
        async with lab.trial(Nowhere(), GUARDED, {"S ms": 0}) as record:
            record.note(half=True)
            raise asyncio.CancelledError
    assert read_records(tmp_path / "out") == []
    assert '"complete":false' in (tmp_path / "out/trials.jsonl").read_text()


async def test_a_deployment_with_keys_is_judged_as_far_as_the_key_allows(tmp_path):
    (tmp_path / "out").mkdir()
    data_dir, log_file = tmp_path / "data", tmp_path / "log"
    settings = {
        "BOOKING_ENVIRONMENT": "production",
        "BOOKING_INITIAL_KEY": "all-scopes-0123456789-0123456789",
    }
    async with booking_up(data_dir, settings=settings, log_file=log_file) as url:
        with pytest.raises(CannotRunError, match="LOADTEST_KEY"):
            async with laboratory(tmp_path, target=Target(url=url)).system(GUARDED):
                pass
        some = await key(data_dir, "inventory:write", "bookings:write", "read")
        for own_key, verdict in (("all-scopes-0123456789-0123456789", "valid"), (some, "unknown")):
            place = tmp_path / verdict
            place.mkdir()
            await until_known(url, own_key)
            lab = laboratory(place, target=Target(url=url, key=own_key))
            async with lab.system(GUARDED) as system, system.client() as client:
                opened = await system.open_resource(capacities=[1], rng=lab.rng(verdict))
                [slot_id] = opened.slot_ids
                async with lab.trial(system, GUARDED, {"S ms": 0}, slot_ids=[slot_id]) as record:
                    dora = Person(client, record, 1, lab.rng(verdict, "dora"))
                    assert (await dora.book(slot_id)).status == 201
                    assert (await dora.book(slot_id)).status == 409
            [kept] = read_records(place / "out")
            assert honest_refusals(kept.operations, kept.events).verdict == verdict
            async with system.client() as client:
                record = Recorder("", "")
                look = await Person(client, record, 1, lab.rng()).look(slot_id, strong=True)
            assert (look.confirmed, look.state) == (0, "closed")


async def until_known(url: str, own_key: str) -> None:
    """Processes read the keys anew every two seconds."""
    async with Client(url, headers=[("Authorization", f"Bearer {own_key}")]) as client:

        async def is_known() -> bool:
            return (await client.request("GET", "/v1/resources")).status == 200

        await eventually(is_known)


async def key(data_dir, *scopes: str) -> str:
    """A key of that deployment, made as its operator would."""
    made = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "booking.cli",
            "keys",
            "create",
            "guest",
            "--data-dir",
            str(data_dir),
        ),
        *(word for scope in scopes for word in ("--scope", scope)),
        "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    said = (await made.communicate())[0]
    return json.loads(said)["secret"]
