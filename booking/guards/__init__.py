"""The guards of the write side: who decides whether units are taken.

The product has one, which decides whole batches. The others exist for the laboratory, which shows
what each costs and what it lets through; they are chosen by BOOKING_GUARD and refused outside it.
"""

from collections.abc import Mapping

import asyncpg
from msgspec import Struct

from booking.batcher import BATCH_SIZE_MAX, Take
from booking.edge.failures import Misconfigured
from booking.guards import (
    advisory_lock_then_count,
    application_clock,
    by_the_sum,
    conditional_write,
    conditional_write_singly,
    expected_version,
    laboratory,
    line_by_line,
    lock_then_count_repeatable_read,
    row_lock_then_count,
    row_per_unit,
    serializable,
    slow_transactions,
    trust_the_view,
    unguarded,
    unsorted_locks,
)

THE_PRODUCTS = "conditional_write"
IN_FLIGHT_MAX = 16
"""Transactions at a time where each decides one command: enough for a commit to be shared by many on
different slots, and few enough for a default Postgres beside everything else."""


class Guard(Struct, frozen=True, kw_only=True):
    """A way to decide, and how the batcher and the database are set up for it."""

    take: Take
    batch_size_max: int = 1
    in_flight_max: int = IN_FLIGHT_MAX
    oversells: bool = False
    """Shown only without the last line of defence, which `booking up` then removes."""
    complete: bool = False
    """Knows every command and rule, as the product does; else places, books, releases and cancels, without
    limits per customer."""
    halving: bool = True
    """Off: a command that makes the call raise takes its whole batch along."""
    needs: str | None = None
    """Its file of `schema/laboratory`."""


GUARDS: Mapping[str, Guard] = {
    THE_PRODUCTS: Guard(
        take=conditional_write.take,
        batch_size_max=BATCH_SIZE_MAX,
        in_flight_max=1,
        complete=True,
    ),
    "conditional_write_singly": Guard(take=conditional_write_singly.take),
    "expected_version": Guard(take=expected_version.take),
    "row_lock_then_count": Guard(take=row_lock_then_count.take, needs=laboratory.CLAIMS),
    "advisory_lock_then_count": Guard(take=advisory_lock_then_count.take, needs=laboratory.CLAIMS),
    "lock_then_count_repeatable_read": Guard(
        take=lock_then_count_repeatable_read.take, needs=laboratory.CLAIMS, oversells=True
    ),
    "serializable": Guard(take=serializable.take),
    "row_per_unit": Guard(take=row_per_unit.take, needs=laboratory.UNITS),
    "trust_the_view": Guard(take=trust_the_view.take, needs=laboratory.VIEW, oversells=True),
    "unguarded": Guard(
        take=unguarded.take, batch_size_max=BATCH_SIZE_MAX, in_flight_max=1, oversells=True
    ),
    "line_by_line": Guard(take=line_by_line.take, complete=True),
    "by_the_sum": Guard(
        take=by_the_sum.take, batch_size_max=BATCH_SIZE_MAX, in_flight_max=1, complete=True
    ),
    "all_fail_together": Guard(
        take=conditional_write.take,
        batch_size_max=BATCH_SIZE_MAX,
        in_flight_max=1,
        halving=False,
        complete=True,
    ),
    "unsorted_locks": Guard(
        take=unsorted_locks.take, batch_size_max=BATCH_SIZE_MAX, in_flight_max=1, complete=True
    ),
    "application_clock": Guard(take=application_clock.right, oversells=True),
    "application_clock_ahead": Guard(take=application_clock.ahead, oversells=True),
    "slow_numbered_first": Guard(
        take=slow_transactions.numbered_first, needs=laboratory.POSITIONS, complete=True
    ),
    "slow_numbered_last": Guard(take=slow_transactions.numbered_last, complete=True),
}


def chosen(name: str | None, *, environment: str) -> str:
    """The guard's name for a setting; None is the product's.

    Raises:
        Misconfigured: unknown, or another than the product's outside the laboratory.
    """
    if name is None:
        return THE_PRODUCTS
    if name not in GUARDS:
        raise Misconfigured(
            f"BOOKING_GUARD={name} is no guard: use one of {', '.join(GUARDS)}, or unset it."
        )
    if name != THE_PRODUCTS and environment != "laboratory":
        raise Misconfigured(
            f"BOOKING_GUARD={name} is for experiments only: unset it, "
            "or set BOOKING_ENVIRONMENT=laboratory."
        )
    return name


async def prepare(connection: asyncpg.Connection, guard: Guard, *, last_line: bool) -> None:
    """Make what a guard of the laboratory needs; with the owner's rights, any number of times.

    Without `last_line` the constraint goes that would stop a guard from overselling.

    Raises:
        Misconfigured: the database does not hold what the guard builds on.
    """
    if guard.needs:
        await laboratory.apply(connection, guard.needs)
    if guard.oversells and not last_line:
        await laboratory.remove_the_last_line(connection)
