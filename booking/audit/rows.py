"""Rows held against the fold, which stands at exactly the position the rows were read at."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import asyncpg

from booking.audit.entities import UNKNOWN, Resource, microseconds, movement
from booking.audit.findings import Findings, Witness, differing, readable
from booking.audit.fold import Fold
from booking.audit.read import booking_of

_OF_A_RESOURCE: Final = (
    "version",
    "name",
    "time_zone",
    "hold_seconds",
    "units_per_booking_max",
    "units_per_customer_max",
    "overbooking_units",
)


class Comparison:
    """Compares rows by key; a row that is missing is None. Bookings come before slots."""

    def __init__(self, fold: Fold, findings: Findings) -> None:
        self._fold = fold
        self._findings = findings
        self._astray: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        """By slot: what the bookings' rows sum to, less what the log's bookings do. With it the sum
        over rows is known at any position without reading them again."""

    def resource(self, key: int, row: asyncpg.Record | None) -> None:
        """A resource's row against its newest event."""
        known = self._fold.resources.get(key)
        logged = None if known is None else _resource_as_logged(known)
        found = None if row is None else {name: row[name] for name in _OF_A_RESOURCE}
        self._as_logged("resource", key, 0 if known is None else known.version, found, logged)

    def booking(self, key: int, row: asyncpg.Record | None) -> None:
        """A booking's row and its lines against the fold."""
        found, logged = booking_of(row), self._fold.booking(key)
        if found == logged:
            return
        for slot_id, (held, confirmed) in movement(logged, found).items():
            so_far = self._astray[slot_id]
            self._astray[slot_id] = (so_far[0] + held, so_far[1] + confirmed)
        self._as_logged(
            "booking",
            key,
            logged.version,
            None if found is UNKNOWN else found._asdict(),
            None if logged is UNKNOWN else logged._asdict(),
        )

    def slot(self, key: int, row: asyncpg.Record | None) -> None:
        """A slot's row against the fold, and its counters against its live bookings and the log."""
        known = self._fold.slots.get(key)
        if row is None or known is None:
            size = 0 if known is None else known.version
            self._as_logged(
                "slot", key, size, None if row is None else {}, None if known is None else {}
            )
            return
        found = {
            "resource_id": row["resource_id"].int,
            "starts_us": microseconds(row["starts_at"]),
            "ends_us": microseconds(row["ends_at"]),
            "version": row["version"],
            "open": row["state"] == "open",
            "capacity": row["capacity"],
            "overbooking_units": row["overbooking_units"],
        }
        logged = {name: getattr(known, name) for name in found}
        self._as_logged("slot", key, known.version, found, logged)

        held, confirmed = self._astray.get(key, (0, 0))
        counters = (row["held"], row["confirmed"])
        bookings = (known.live_held + held, known.live_confirmed + confirmed)
        log = (known.held, known.confirmed)
        if not counters == bookings == log:
            self._take_down(
                "counters-add-up",
                "slot",
                key,
                known.version,
                {
                    "counters": dict(zip(("held", "confirmed"), counters, strict=True)),
                    "bookings": dict(zip(("held", "confirmed"), bookings, strict=True)),
                    "log": dict(zip(("held", "confirmed"), log, strict=True)),
                },
            )

    def use(self, key: int, row: asyncpg.Record | None) -> None:
        """What is kept of a customer's use of a slot against the live bookings."""
        units = 0 if row is None else row["units"]
        live = self._fold.use.get(key, 0)
        if units != live:
            slot_id, customer_id = divmod(key, 1 << 128)
            says = {"counters": {"units": units}, "bookings": {"units": live}}
            customer = UUID(int=customer_id)
            self._take_down("customer-use", "slot", slot_id, live, says, customer_id=customer)

    def line_astray(self, row: asyncpg.Record) -> None:
        """A line without a row of its booking; where the log knows the booking, that row was missed before."""
        key = row["booking_id"].int
        if key not in self._fold.booking_ids:
            says: dict[str, Mapping[str, object]] = {
                "lines": {"lines": ((row["slot_id"].int, row["units"]),)},
                "row": {"there": False},
            }
            self._take_down("lines-of-bookings", "booking", key, 0, says, position=row["head"])

    def answer_astray(self, row: asyncpg.Record) -> None:
        """An answer of this epoch, kept for repeats, of a position that the log has not reached."""
        told = {name: row[name] for name in ("caller", "command_id", "position")}
        says = {"row": told, "counters": {"head": row["head"]}}
        self._take_down("answers-within-log", "command", None, 0, says, position=row["head"])

    def _as_logged(
        self,
        entity: str,
        key: int,
        size: int,
        found: Mapping[str, object] | None,
        logged: Mapping[str, object] | None,
    ) -> None:
        if found == logged or key in self._fold.doubted:
            return
        says: dict[str, Mapping[str, object]]
        if found is None or logged is None:
            says = {"row": {"there": found is not None}, "log": {"there": logged is not None}}
        else:
            says = differing(row=found, log=logged)
        self._take_down("rows-as-logged", entity, key, size, says)

    def _take_down(
        self,
        rule: str,
        entity: str,
        key: int | None,
        size: int,
        says: Mapping[str, Mapping[str, object]],
        *,
        customer_id: UUID | None = None,
        position: int | None = None,
    ) -> None:
        self._findings.add(
            Witness(
                rule=rule,
                entity=entity,
                id=None if key is None else UUID(int=key),
                customer_id=customer_id,
                position=self._fold.position if position is None else position,
                size=size,
                says=readable(says),
            )
        )


def _resource_as_logged(resource: Resource) -> dict[str, object]:
    told = {name: getattr(resource, name) for name in _OF_A_RESOURCE[:3]}
    return told | {name: getattr(resource.policy, name) for name in _OF_A_RESOURCE[3:]}
