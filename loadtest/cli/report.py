"""The command `loadtest report`: a run judged again from its folder, a bench beside it, or two runs compared."""
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

    A bench is shown again from its figures. Given beside a run, or measured into its folder, it becomes a section of the run's page.

    \b
    loadtest report reports/20260101-120000
    loadtest report reports/20260101-120000 --markdown docs/results.md
    loadtest report reports/before reports/after
    loadtest report reports/bench-20260101-130000
    loadtest report reports/20260101-120000 reports/bench-20260101-130000

    Exit code: that of the run or bench as it is judged now, the gravest of several; two compared have none.
    """
    from loadtest.bench import store as benches
    from loadtest.bench.page import section
    from loadtest.bench.words import summary
    from loadtest.experiment.asked import RUN
    from loadtest.reports.store import write
    from loadtest.reports.text import console, print_findings
    from loadtest.run import findings_of

    benched = {d: bench for d in directories if (bench := benches.read(d)) is not None}
    # What is neither is told by what looks for a run.
    runs = {d: findings_of(d) for d in directories if d not in benched or (d / RUN).exists()}
    if markdown is not None:
        if len(runs) != 1:
            raise click.UsageError("--markdown is of one run: give one directory.")
        from loadtest.reports.markdown import write_markdown

        [findings] = runs.values()
        write_markdown(findings, markdown)
    if len(runs) == len(directories) == 2:
        from loadtest.reports.comparison import print_comparison

        before, after = runs.values()
        print_comparison(console(), before, after, names=[str(d) for d in directories])
        return
    for directory, findings in runs.items():
        print_findings(console(), findings)
        shown = [section(b) for d, b in benched.items() if d == directory or d not in runs]
        click.echo(f"report: {write(findings, directory, beside=''.join(shown))}")
    for directory, bench in benched.items():
        click.echo(summary(bench))
        click.echo(f"report: {benches.write(bench, directory)}")
    codes = {findings.exit_code for findings in runs.values()}
    codes |= {bench.exit_code for bench in benched.values()}
    gravest_first = (VIOLATED, INTERRUPTED, INVALID_EXPERIMENT)
    sys.exit(next((code for code in gravest_first if code in codes), HOLDS))
