"""The menu of scenarios, in the order of their numbers: each module states its claim, its fault, its arms and what is expected."""

from collections.abc import Mapping

from loadtest.experiment.scenario import Scenario
from loadtest.scenarios import (
    double_booking_by_retry,
    duplicates_and_disorder,
    events_or_polling,
    expired_hold,
    false_sold_out,
    guard_bake_off,
    looking_twice,
    lost_update,
    oversell,
    phantom_availability,
    read_your_booking,
    rebuild_under_load,
    skipped_event,
    sleeping_projector,
    stays,
    strong_or_eventual,
    thundering_herd,
    views_that_disagree,
    what_batching_could_break,
)

_ALL = (
    oversell.SCENARIO,
    phantom_availability.SCENARIO,
    false_sold_out.SCENARIO,
    lost_update.SCENARIO,
    double_booking_by_retry.SCENARIO,
    read_your_booking.SCENARIO,
    looking_twice.SCENARIO,
    expired_hold.SCENARIO,
    views_that_disagree.SCENARIO,
    duplicates_and_disorder.SCENARIO,
    skipped_event.SCENARIO,
    sleeping_projector.SCENARIO,
    rebuild_under_load.SCENARIO,
    thundering_herd.SCENARIO,
    what_batching_could_break.SCENARIO,
    stays.SCENARIO,
    events_or_polling.SCENARIO,
    strong_or_eventual.SCENARIO,
    guard_bake_off.SCENARIO,
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
