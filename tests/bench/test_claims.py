"""The page of claims is complete, names commands that exist, and `make claims` tells the truth about them."""

import importlib.util
import re
import shlex
import sys
from datetime import date
from pathlib import Path

import pytest
import rich_click as click

from loadtest.bench.menu import MEASUREMENTS
from loadtest.cli import cli as loadtest
from loadtest.scenarios import SCENARIOS

HOUSE = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("claims", HOUSE / "docs/claims.py")
claims = importlib.util.module_from_spec(_spec)
sys.modules["claims"] = claims
_spec.loader.exec_module(claims)

ROWS = claims.read_claims(claims.PAGE.read_text())
ROW = "| 1 | it works | `{}` | yes | 2030-01-01 | abc1234 | here | none |"
HEAD = f"| {' | '.join(claims.COLUMNS)} |\n|{'---|' * len(claims.COLUMNS)}\n"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_a_claim_says_when_and_where_it_was_last_measured(row):
    date.fromisoformat(row.date)
    assert re.fullmatch(r"[0-9a-f]{7,12}", row.commit)
    assert re.search(r"\d", row.figure), "a figure has a number in it"


def what_is_missing_for(command: str) -> set[str]:
    """What the command of a claim names and nobody has: programs, verbs, options, files, names."""
    program, *arguments = shlex.split(command)
    if program in {"pytest", "python"}:
        files = {
            word.partition("::")[0] for word in arguments if word.endswith(".py") or "::" in word
        }
        return {file for file in files if not (HOUSE / file).is_file()} if files else {"a file"}
    if program != "loadtest":
        return {program}
    verb, *words = arguments
    if verb not in loadtest.commands:
        return {verb}
    try:
        asked = loadtest.commands[verb].make_context(verb, words).params
    except click.UsageError as mistake:
        return {mistake.message}
    scenarios = {"all", *SCENARIOS, *(str(each.number) for each in SCENARIOS.values())}
    return set(asked.get("names", ())) - set(MEASUREMENTS) | (
        set(asked.get("scenarios", ())) - scenarios
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_the_one_command_of_a_claim_exists(row):
    assert what_is_missing_for(row.command) == set()


@pytest.mark.parametrize(
    "command",
    [
        "pytest tests/bench/test_nothing.py",
        "pytest -m long",
        "measure everything",
        "loadtest benhc",
        "loadtest bench cold_slot",
        "loadtest bench hot_slot cold_slot",
        "loadtest bench --fast",
        "loadtest run undersell",
        "loadtest run",
        "loadtest soak --minutes ten",
    ],
)
def test_a_command_that_does_not_exist_would_be_found(command):
    assert what_is_missing_for(command)


def test_claims_are_numbered_in_order():
    assert [row.number for row in ROWS] == list(range(1, len(ROWS) + 1))


def test_a_row_without_a_figure_is_no_claim():
    incomplete = ROW.format("true").replace("| yes |", "|  |")
    with pytest.raises(ValueError, match="not complete"):
        claims.read_claims(HEAD + incomplete)


def page_of(*commands):
    rows = [
        ROW.format(command).replace("| 1 |", f"| {number} |")
        for number, command in enumerate(commands, 1)
    ]
    return HEAD + "\n".join(rows)


def test_a_claim_holds_when_its_command_says_so_and_only_then(tmp_path, monkeypatch, capsys):
    page = tmp_path / "claims.md"
    page.write_text(page_of("true", "exit 1", "python -c 'import booking'"))
    monkeypatch.setattr(claims, "PAGE", page)
    assert claims.main([]) == 1
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[-3:]] == ["holds", "DOES", "holds"]
    assert claims.main(["1", "3"]) == 0
    assert claims.main(["--list"]) == 0
    assert claims.main(["4"]) == 2


def test_a_command_that_never_ends_is_ended_with_all_it_started(capsys):
    [endless] = claims.read_claims(page_of("sleep 600 & sleep 600"))
    assert claims.measure(endless, time_limit_s=0.2) is False
    assert "not within" in capsys.readouterr().out
