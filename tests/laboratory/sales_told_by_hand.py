"""Sales short enough to check by eye, as records and events: what tests of checkers, figures and reports are made of."""

from datetime import UTC, datetime, timedelta

from msgspec import to_builtins
from msgspec.structs import replace

from loadtest.evidence.trial import Generator, Record, Trial
from loadtest.history import FinalSlot, LoggedEvent, LoggedSlot, Operation
from loadtest.workloads.selling_out import SellOuts

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PLAN = SellOuts(lags_ms=[0, 50, 200], sales=1, capacity=50, buyers_per_s=100, think_ms=20)


def sale(
    arm: str, lag_ms: int, *, missing_version: int | None = None, name: str | None = None
) -> Record:
    """One buyer every 10 ms, each deciding 20 ms after looking at a view that is `lag_ms` old."""
    oversells = arm == "unguarded"
    sold_out_after = PLAN.capacity
    attempts = sold_out_after + (lag_ms + 20) // 10
    name = name or f"{arm}-{lag_ms}"
    operations, events = [], [event(1, 0, NOON, 0)]
    for number in range(attempts):
        looked = NOON + timedelta(milliseconds=10 * number)
        decided = looked + timedelta(milliseconds=20)
        accepted = oversells or number < sold_out_after
        as_of = looked - timedelta(milliseconds=lag_ms)
        operations += buyer(name, arm, number, as_of, lag_ms, accepted=accepted, decided=decided)
        if accepted:
            events.append(event(number + 2, 1, decided, number + 1))
    last = events[-1].slots[0]
    final = FinalSlot(**{k: v for k, v in to_builtins(last).items() if k != "units"})
    return Record(
        trial=Trial(
            name=name,
            arm=arm,
            knobs={"S ms": lag_ms, "sale": 1},
            slot_ids=["hall"],
            log=f"events-{arm}.jsonl",
            generators=[Generator(offered=attempts, sent=attempts, late_p99_ms=1)],
            facts={"final": to_builtins(final)},
        ),
        operations=operations,
        events=[each for each in events if each.slots[0].version != missing_version],
    )


def event(version: int, units: int, at: datetime, sold: int) -> LoggedEvent:
    slot = LoggedSlot(
        slot_id="hall",
        units=units,
        version=version,
        capacity=PLAN.capacity,
        overbooking_units=0,
        held=0,
        confirmed=sold,
        remaining=PLAN.capacity - sold,
    )
    return LoggedEvent(
        position=version,
        type="BookingConfirmed",
        recorded_at=at,
        command_id=f"k{version - 2}",
        booking_id=f"b{version - 2}",
        slots=[slot],
    )


def buyer(run, arm, number, as_of, lag_ms, *, accepted, decided) -> list[Operation]:
    look = Operation(
        run=run,
        arm=arm,
        journey=number,
        op="look",
        slot_id="hall",
        units=1,
        intended_ns=0,
        invoke_ns=0,
        return_ns=1,
        outcome="ok",
        status=200,
        remaining=1,
        as_of=as_of,
        lag_ms=float(lag_ms),
    )
    book = replace(
        look,
        op="book",
        key=f"k{number}",
        return_ns=2_000_000,
        outcome="ok" if accepted else "failed",
        status=201 if accepted else 409,
        as_of=None if accepted else decided,
    )
    return [look, book]
