"""Scenario 6 judged by hand: who missed their own booking, and how late it came."""

import pytest
from msgspec.structs import replace
from told import did

from loadtest.evidence.trial import Record, Trial, read_records
from loadtest.experiment.laboratory import Laboratory
from loadtest.faults import Faults
from loadtest.scenarios.read_your_booking import (
    SCENARIO,
    WITH,
    WITHOUT,
    judge,
    measure,
    visible_after_ms,
)
from loadtest.workloads.own_seats import OWN_SEAT, PASSERS_BY_FROM

PLAN = SCENARIO.quick
GAP_MS = PLAN.gaps_ms[1]


def told(arm, *journeys, arrivals=((1, 30_000_000), (2, 250_000_000)), gap="dealt") -> Record:
    trial = Trial(
        name="r",
        arm=arm.name,
        knobs={"gap ms": gap},
        slot_ids=["hall"],
        log=None,
        began_ns=0,
        ended_ns=10**9,
        facts={"arrivals": [list(arrival) for arrival in arrivals]},
        complete=True,
    )
    return Record(trial=trial, operations=[o for j in journeys for o in j], events=[])


def books_and_looks(by: int, position: int, *, finds: bool, **look):
    booking = {"booking_id": f"b{by}", "slot": None}
    return [
        did("book", 0, 1, by=by, position=position, booking_version=1, **booking),
        did(
            *("read_booking", GAP_MS),
            by=by,
            status=200 if finds else 404,
            booking_version=1 if finds else None,
            **booking,
            **look,
        ),
    ]


def test_a_booker_who_is_told_there_is_no_such_booking_has_missed_it():
    record = told(WITHOUT, books_and_looks(1, 2, finds=False), books_and_looks(5, 1, finds=True))
    (cell,) = judge([record], PLAN).cells
    assert (cell.knob, cell.violations, cell.measured("missed %")) == (GAP_MS, 1, 50)
    # One of two arrived later than the gap, by the live stream.
    assert cell.theory.expected == 50


def test_with_a_token_everybody_finds_it():
    record = told(WITH, books_and_looks(1, 2, finds=True, token_in="t", wait_ms=150.0))  # noqa: S106 no secret
    (cell,) = judge([record], PLAN).cells
    assert (cell.verdict, cell.measured("wait ms")) == ("valid", 150)


def test_a_refusal_to_answer_is_no_miss_and_no_proof():
    booked, _ = books_and_looks(1, 2, finds=True)
    refused = did("read_booking", GAP_MS, by=1, status=412, slot=None, booking_id="b1")
    (cell,) = judge([told(WITH, [booked, refused])], PLAN).cells
    assert cell.verdict == "unknown"


def test_the_lag_counts_from_the_answer_and_is_never_negative():
    record = told(
        WITHOUT,
        books_and_looks(1, 1, finds=True),
        books_and_looks(2, 2, finds=True),
        arrivals=((1, 500_000), (2, 21_000_000)),
    )
    assert visible_after_ms(record) == [0, 20]


def of_a_seat(*looks) -> Record:
    booked = did("book", 0, 1, by=1, position=2, version=2, booking_version=1, booking_id="b1")
    return told(WITH, [booked], list(looks), gap=OWN_SEAT)


def test_a_seat_shown_as_it_was_before_its_owner_booked_it_is_a_miss():
    record = of_a_seat(did("look", 5, by=1, version=1, token_in="t"))  # noqa: S106 no secret
    (cell,) = judge([record], PLAN).cells
    assert (cell.knob, cell.verdict, cell.violations) == (OWN_SEAT, "invalid", 1)


def test_a_seat_shown_as_booked_is_no_miss_and_who_passed_by_missed_nothing():
    record = of_a_seat(
        did("look", 2, by=PASSERS_BY_FROM + 1, version=1),
        did("look", 5, by=1, version=2, token_in="t"),  # noqa: S106 no secret
    )
    (cell,) = judge([record], PLAN).cells
    assert (cell.verdict, cell.measured("tries")) == ("valid", 1)


def test_an_owner_who_was_told_to_come_later_has_missed_nothing_and_proved_nothing():
    (cell,) = judge([of_a_seat(did("look", 5, by=1, status=412))], PLAN).cells
    assert cell.verdict == "unknown"


class Quiet:
    def step(self, text: str) -> None:
        pass


@pytest.mark.long
async def test_a_trial_whose_fault_died_is_no_evidence(tmp_path, monkeypatch):
    async def nobody(*_, **__) -> None:
        pass

    def gone(*_) -> None:
        raise ProcessLookupError

    monkeypatch.setattr("loadtest.scenarios.read_your_booking.book_own_seats", nobody)
    lab = Laboratory(seed=7, folder=tmp_path, scratch=tmp_path / "scratch", progress=Quiet())
    (tmp_path / "scratch").mkdir()
    small = replace(PLAN, people_per_s=50, seconds=1)
    await measure(lab, WITHOUT, small)
    monkeypatch.setattr(Faults, "pause", gone)
    with pytest.raises(ProcessLookupError):
        await measure(lab, WITH, small)

    [kept] = read_records(tmp_path)
    assert kept.trial.arm == WITHOUT.name
    assert {mark.what for mark in kept.trial.marks} == {"projector paused"}
    assert len(visible_after_ms(kept)) == len(kept.of("book")) > 0
