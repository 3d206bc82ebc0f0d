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
    # What is derived stands there, too, for scripts; reading it back derives it anew.
    verdict = {"exit_code": findings.exit_code, "sentence": findings.sentence}
    encoded = msgspec.json.encode(verdict | msgspec.to_builtins(findings))
    (out / RESULT).write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")
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
