"""The menu of scenarios, in the order of their numbers: each module states its claim, its fault, its arms and what is expected."""

from collections.abc import Mapping

from loadtest.scenario import Scenario
from loadtest.scenarios import oversell, phantom_availability

_ALL = (
    oversell.SCENARIO,
    phantom_availability.SCENARIO,
)

SCENARIOS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
