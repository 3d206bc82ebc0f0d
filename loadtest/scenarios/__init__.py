"""The menu of scenarios: name, and the module that states its claim, its fault, its control arm and what is expected."""

from loadtest.scenarios import oversell

SCENARIOS = {oversell.NAME: oversell}
