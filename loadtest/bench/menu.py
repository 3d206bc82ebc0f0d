"""The menu of measurements: what `loadtest bench --list` shows, in the order in which they are made."""

from collections.abc import Mapping
from typing import Protocol

from loadtest.bench import (
    calendar_page,
    commit_to_visible,
    flatness,
    guards_compared,
    hot_slot,
    one_connection,
    open_snapshot,
    rebuild_rate,
    slot_read,
    stays,
    ten_thousand_slots,
    whole_pipeline,
)
from loadtest.bench.figures import Measured
from loadtest.bench.plan import Bench


class Measurement(Protocol):
    """What a module of the menu has."""

    CLAIM: str
    ABOUT_S: int
    """How long it takes by default."""

    async def measure(self, bench: Bench) -> Measured:
        """Starts what it needs, measures, counts the books."""


MEASUREMENTS: Mapping[str, Measurement] = {
    "hot_slot": hot_slot,
    "guards_compared": guards_compared,
    "ten_thousand_slots": ten_thousand_slots,
    "stays": stays,
    "one_connection": one_connection,
    "whole_pipeline": whole_pipeline,
    "open_snapshot": open_snapshot,
    "slot_read": slot_read,
    "calendar_page": calendar_page,
    "commit_to_visible": commit_to_visible,
    "rebuild_rate": rebuild_rate,
    "flatness": flatness,
}
ONLY_WHEN_ASKED = {"flatness"}
"""It fills two databases with millions of rows first, which takes minutes and gigabytes."""
