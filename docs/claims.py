"""Measures the claims: runs the one command of each row of claims.md, one after the other, and says which hold.

A row holds when its command ends with exit code 0; what the command prints is the figure. Nothing is written: a figure is put
into the table by the person who has read it.

    python docs/claims.py           all of them (`make claims`)
    python docs/claims.py 4 6       the fourth and the sixth
    python docs/claims.py --list    the rows, without running anything
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
PAGE = HERE / "claims.md"
COLUMNS = ("#", "claim", "the one command", "last figure", "date", "commit", "machine", "limits")
TIME_LIMIT_S = 1800


class Claim(NamedTuple):
    """A row of the table."""

    number: int
    claim: str
    command: str
    figure: str
    date: str
    commit: str
    machine: str
    limits: str


def read_claims(page: str) -> list[Claim]:
    """The rows of the page's table, in order.

    Raises:
        ValueError: a row that is not complete, or a command that does not stand in backticks.
    """
    rows = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    if not cells or tuple(cells[0]) != COLUMNS:
        raise ValueError(f"the table of {PAGE.name} has the columns {', '.join(COLUMNS)}")
    claims = []
    for row in cells[2:]:
        if len(row) != len(COLUMNS) or not all(row):
            raise ValueError(f"this row is not complete: {' | '.join(row)}")
        command = re.fullmatch(r"`([^`]+)`", row[2])
        if command is None:
            raise ValueError(f"the command of claim {row[0]} does not stand in backticks: {row[2]}")
        claims.append(Claim(int(row[0]), row[1], command[1], *row[3:]))
    return claims


def measure(claim: Claim, *, time_limit_s: float = TIME_LIMIT_S) -> bool:
    """Runs the command in the checkout, with the programs of this environment first; says whether the claim holds."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    child = subprocess.Popen(
        claim.command,
        shell=True,
        cwd=HERE.parent,
        env={**os.environ, "PATH": path},
        start_new_session=True,
    )
    try:
        return child.wait(timeout=time_limit_s) == 0
    except subprocess.TimeoutExpired:
        print(f"not within {time_limit_s:.0f} s", flush=True)
        return False
    finally:
        if child.poll() is None:  # asked to end in order, with everything it has started
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def main(arguments: list[str]) -> int:
    """Exit code 0: all that were asked for hold. 1: not all. 2: no such claim."""
    claims = read_claims(PAGE.read_text())
    if arguments == ["--list"]:
        for claim in claims:
            print(f"{claim.number}. {claim.claim}\n   $ {claim.command}\n   {claim.figure} ({claim.date})")
        return 0
    known = {str(claim.number): claim for claim in claims}
    if unknown := [number for number in arguments if number not in known]:
        print(f"There is no claim {', '.join(unknown)}; there are {', '.join(known)}.", file=sys.stderr)
        return 2
    outcomes = []
    for claim in [known[number] for number in arguments or known]:
        print(f"\n{claim.number}. {claim.claim}\n$ {claim.command}", flush=True)
        began_s = time.monotonic()
        holds = measure(claim)
        outcomes.append((claim, holds, time.monotonic() - began_s))
    print()
    for claim, holds, seconds in outcomes:
        print(f"{'holds        ' if holds else 'DOES NOT HOLD'} {seconds:6.1f} s  {claim.number}. {claim.claim}")
    return 0 if all(holds for _, holds, _ in outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
