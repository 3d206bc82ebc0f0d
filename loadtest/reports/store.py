"""A run on disk: `result.json` (the findings), `report.html` made from them, beside the history and the logs."""

from pathlib import Path

import msgspec

from loadtest.failures import CannotRunError
from loadtest.findings import Findings
from loadtest.reports.html import page

RESULT = "result.json"
PAGE = "report.html"


def write(findings: Findings, out: Path) -> Path:
    """Writes both files; returns the page's path."""
    encoded = msgspec.json.format(msgspec.json.encode(findings), indent=1)
    (out / RESULT).write_bytes(encoded)
    (out / PAGE).write_text(page(findings), encoding="utf-8")
    return out / PAGE


def read(out: Path) -> Findings:
    """The findings of a run.

    Raises:
        CannotRunError: there are none.
    """
    try:
        return msgspec.json.decode((out / RESULT).read_bytes(), type=Findings)
    except OSError:
        raise CannotRunError(
            f"{out} has no {RESULT}: give the directory of a run (`--out` of `loadtest demo`)."
        ) from None
    except msgspec.DecodeError as error:
        raise CannotRunError(
            f"{out / RESULT} is not a result of this version ({error}): run the demo again."
        ) from None
