"""How a command is invoked, of either side: its environment, its process, its help's looks."""

import asyncio
import os
from collections.abc import Awaitable, Callable

import rich_click as click

click.rich_click.TEXT_PARAGRAPH_LINEBREAKS = "\n\n"
click.rich_click.PADDING_HELPTEXT_FIRST_LINE = (0, 0, 1, 0)

data_dir_option = click.option(
    "--data-dir",
    metavar="DIR",
    help="Where `booking up` keeps its data and run.json (BOOKING_DATA_DIR, default .booking).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON value, for scripts.")


def environ_of(data_dir: str | None) -> dict[str, str]:
    """Return the environment without empty variables (compose writes `${X:-}`), and the option."""
    environ = {name: value for name, value in os.environ.items() if value.strip()}
    return environ | ({"BOOKING_DATA_DIR": data_dir} if data_dir else {})


def run_process(name: str, main: Callable[[asyncio.Event], Awaitable[int | None]]) -> int:
    """Run `main` as the process `name` (in its log lines) and return the exit code."""
    from booking.edge import logging  # noqa: PLC0415 help needs none of it
    from booking.edge.process import run  # noqa: PLC0415 nor of this

    logging.configure(name)
    return run(main)
