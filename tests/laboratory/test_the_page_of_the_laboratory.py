"""docs/laboratory.md names what there is: commands and their options, checkers, files of a run."""

import re
import shlex
from pathlib import Path

from loadtest.cli import cli

HOUSE = Path(__file__).parents[2]
PAGE = (HOUSE / "docs/laboratory.md").read_text()


def test_every_command_of_the_page_exists_with_its_options():
    lines = re.findall(r"^(?:\S+=\S+ )?loadtest (.+?)(?:\s{2,}.*)?$", PAGE, re.MULTILINE)
    assert len(lines) >= 8
    for line in lines:
        name, *words = shlex.split(line)
        options = {option for each in cli.commands[name].params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


def test_every_checker_is_on_the_page():
    table = PAGE.partition("| checker | asks |")[2].partition("\n\n")[0]
    files = {file.stem for file in (HOUSE / "loadtest/checkers").glob("*.py")}
    assert set(re.findall(r"`(\w+)`", table)) == files - {"__init__", "journeys"}
