"""The laboratory's command line: the menu of what a person can ask for, one file per command.

Everything heavy is imported inside the command that needs it, so that the first line comes at once. `measuring` is what the commands do alike
that run experiments.
"""

import sys

import rich_click as click

from loadtest.cli import bench, demo, list_scenarios, report, run, soak
from loadtest.failures import CannotRunError
from loadtest.verdict import HOLDS, INTERRUPTED, USAGE


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Attacks the booking system over HTTP, with its guards off and on, and judges what happened from the event log."""


cli.add_command(list_scenarios.list_scenarios)
cli.add_command(demo.demo)
cli.add_command(run.run)
cli.add_command(report.report)
cli.add_command(bench.bench)
cli.add_command(soak.soak)


def main(program: str | None = None) -> None:
    """The command `loadtest`, or the one of that name that became it."""
    try:
        code = cli(prog_name=program, standalone_mode=False)
    except CannotRunError as error:
        click.echo(str(error), err=True)
        sys.exit(USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    sys.exit(code or HOLDS)
