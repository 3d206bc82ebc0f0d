"""The README as a new user follows it: every line of its session is run, every answer compared."""

import re
from pathlib import Path

from examples import Terminal, examples

from booking.cli import booking
from loadtest.cli import cli as loadtest
from projector.cli import projector

README = Path(__file__).parents[2] / "README.md"


async def test_the_readme_alone_is_enough_to_hold_confirm_cancel_and_watch(system):
    async with Terminal(system.folder, system.url) as terminal:
        for example in examples(README):
            await terminal.run(example)
        await terminal.finish()


def test_every_command_is_in_the_readme_and_no_other():
    programs = {"booking": booking, "projector": projector, "loadtest": loadtest}
    there = {f"{name} {each}" for name, program in programs.items() for each in program.commands}
    table = README.read_text().partition("| command | does |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`((?:booking|projector|loadtest) [\w-]+)`", table)) == there


def test_every_folder_of_the_map_is_there():
    table = README.read_text().partition("| folder | what happens there |")[2].partition("\n\n")[0]
    places = re.findall(r"`([\w./-]+)`", table)
    assert len(places) > 20
    ours = [README.parent / folder for folder in ("booking", "projector", "loadtest", "deploy")]
    for place in places:
        within = (found for folder in ours for found in folder.rglob(place))
        assert (README.parent / place).exists() or any(within), place
