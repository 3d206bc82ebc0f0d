"""The command `loadtest report`: a run judged again from its folder, or two runs compared."""
# ruff: noqa: D301, PLC0415  click's mark for "do not wrap" is a backspace; imports inside, so that --help answers at once

import sys
from pathlib import Path

import rich_click as click

from loadtest.verdict import HOLDS, INTERRUPTED, INVALID_EXPERIMENT, VIOLATED


@click.command()
@click.argument(
    "directories", nargs=-1, required=True, type=click.Path(file_okay=False, path_type=Path)
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Writes a page of Markdown as well, with its plots in a folder beside it.",
)
def report(directories: tuple[Path, ...], markdown: Path | None) -> None:
    """Judges a run again from its histories and writes its report anew; compares two runs.

    \b
    loadtest report reports/20260101-120000
    loadtest report reports/20260101-120000 --markdown docs/results.md
    loadtest report reports/before reports/after

    Exit code: that of the run as it is judged now, the gravest of several; two compared have none.
    """
    from loadtest.reports.store import write
    from loadtest.reports.text import console, print_findings
    from loadtest.run import findings_of

    found = [findings_of(directory) for directory in directories]
    if markdown is not None:
        if len(found) != 1:
            raise click.UsageError("--markdown is of one run: give one directory.")
        from loadtest.reports.markdown import write_markdown

        write_markdown(found[0], markdown)
    if len(found) == 2:
        from loadtest.reports.comparison import print_comparison

        print_comparison(console(), found[0], found[1], names=[str(d) for d in directories])
        return
    for findings, directory in zip(found, directories, strict=True):
        print_findings(console(), findings)
        click.echo(f"report: {write(findings, directory)}")
    codes = {findings.exit_code for findings in found}
    gravest_first = (VIOLATED, INTERRUPTED, INVALID_EXPERIMENT)
    sys.exit(next((code for code in gravest_first if code in codes), HOLDS))
