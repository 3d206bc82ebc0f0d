"""How old was what a decision was based on: one buyer, a few bookings, moments that can be added up by eye."""

from datetime import UTC, datetime, timedelta

from loadtest.evidence.decisions import Decision, around_the_sell_out, decisions
from loadtest.history import LoggedEvent, Operation

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def after_ms(milliseconds: float) -> datetime:
    return NOON + timedelta(milliseconds=milliseconds)


def booked(position: int, at_ms: float, key: str = "another's") -> LoggedEvent:
    return LoggedEvent(
        position=position,
        type="BookingConfirmed",
        recorded_at=after_ms(at_ms),
        command_id=key,
        booking_id="b",
        slots=[],
    )


def looked(position: int, as_of_ms: float, *, lag_ms: float) -> Operation:
    return Operation(
        run="r",
        arm="guarded",
        journey=1,
        op="look",
        slot_id="hall",
        units=1,
        intended_ns=0,
        invoke_ns=0,
        return_ns=0,
        outcome="ok",
        status=200,
        position=position,
        as_of=after_ms(as_of_ms),
        lag_ms=lag_ms,
    )


def attempted(status: int, *, decided_ms: float | None = None) -> Operation:
    return Operation(
        run="r",
        arm="guarded",
        journey=1,
        op="book",
        slot_id="hall",
        key="mine",
        units=1,
        intended_ns=0,
        invoke_ns=0,
        return_ns=0,
        outcome="ok" if status == 201 else "failed",
        status=status,
        as_of=after_ms(decided_ms) if decided_ms is not None else None,
    )


def test_a_view_was_true_until_the_next_booking_and_the_middle_of_that_counts():
    log = [booked(5, 0), booked(6, 10), booked(7, 90, "mine")]
    [decision] = decisions([looked(5, 0, lag_ms=60), attempted(201)], log)
    assert decision.age_ms == 85
    assert decision.think_and_queue_ms == 30


def test_a_view_that_nothing_has_overtaken_was_true_when_it_was_shown():
    log = [booked(5, 0), booked(6, 90, "mine")]
    [decision] = decisions([looked(5, 0, lag_ms=60), attempted(201)], log)
    assert decision.age_ms == 60


def test_a_refusal_says_itself_when_it_was_decided():
    log = [booked(5, 0), booked(6, 10)]
    [decision] = decisions([looked(5, 0, lag_ms=60), attempted(409, decided_ms=100)], log)
    assert decision.age_ms == 95


def test_an_attempt_nobody_answered_and_nobody_logged_has_no_age():
    assert decisions([looked(5, 0, lag_ms=60), attempted(0)], [booked(5, 0)]) == []


def test_only_the_last_stretch_before_the_sell_out_is_averaged():
    slow_start = [_decision(at_ms, age_ms=300) for at_ms in range(0, 200, 10)]
    steady = [_decision(at_ms, age_ms=40) for at_ms in range(900, 1000, 10)]
    afterwards = [_decision(at_ms, age_ms=500) for at_ms in range(1010, 1100, 10)]
    counted = around_the_sell_out(
        [*slow_start, *steady, *afterwards], opened_at=NOON, sold_out_at=after_ms(1000)
    )
    assert {decision.age_ms for decision in counted} == {40}


def _decision(true_ms: float, *, age_ms: float) -> Decision:
    return Decision(
        true_at=after_ms(true_ms),
        shown_at=after_ms(true_ms),
        decided_at=after_ms(true_ms + age_ms),
    )
