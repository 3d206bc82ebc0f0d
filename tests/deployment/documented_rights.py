"""The tables of rights in docs/operations.md, as the tests read them: rows by their first cell."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/operations.md"
NOTHING = "–"


def rights(heading: str) -> dict[str, dict[str, str]]:
    """The table under a heading: {first cell without its backticks: {column: cell}}."""
    section = PAGE.read_text().split(f"### {heading}\n", 1)[1]
    lines = re.findall(
        r"^\|(.*)\|$", re.split(r"^#{2,3} ", section, flags=re.MULTILINE)[0], re.MULTILINE
    )
    (_, *columns), _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    names = [column.strip("`") for column in columns]
    return {row[0].strip("`"): dict(zip(names, row[1:], strict=True)) for row in rows}


def listed(cell: str) -> set[str]:
    """The words of a cell; columns of a table stand in brackets behind the word they limit."""
    return set() if cell == NOTHING else set(re.findall(r"\w+(?: \([^)]*\))?", cell))
