"""The command `loadtest list`: which scenarios there are."""
# ruff: noqa: PLC0415  imports inside, so that --help answers at once

import rich_click as click


@click.command("list")
def list_scenarios() -> None:
    """Names the scenarios and what each claims."""
    from loadtest.scenarios import SCENARIOS

    for name, scenario in SCENARIOS.items():
        target = "  also with --target" if scenario.target else ""
        click.echo(f"{scenario.number:3}  {name:24} {scenario.claim}{target}")
