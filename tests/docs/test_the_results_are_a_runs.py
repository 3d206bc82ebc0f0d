"""The page of results tells every scenario there is, with its plots, and no claim on it failed."""

import re
from pathlib import Path

from loadtest.scenarios import SCENARIOS

PAGE = Path(__file__).parents[2] / "docs/results.md"


def test_every_scenario_is_on_the_page_with_the_command_that_shows_it():
    told = re.findall(r"^## (\d+) (\w+)$", PAGE.read_text(), re.MULTILINE)
    assert told == [(str(each.number), each.name) for each in SCENARIOS.values()]
    assert all(f"`loadtest run {name}`" in PAGE.read_text() for name in SCENARIOS)


def test_every_plot_of_the_page_is_there_and_no_other():
    shown = set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text()))
    assert shown == {f"results/{file.name}" for file in (PAGE.parent / "results").glob("*")}


def test_every_claim_of_the_page_held_and_only_comparisons_have_no_verdict():
    told = re.findall(r"^\| \d+ \| \[(\w+)\]\(.+ \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
    assert told == [
        (each.name, "compared" if each.kind == "comparison" else "holds")
        for each in SCENARIOS.values()
    ]
