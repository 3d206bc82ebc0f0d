"""A run's report on disk: `result.json` (the findings), `report.html` and `summary.txt` made from them, beside the evidence."""

import contextlib
from datetime import datetime
from io import StringIO
from pathlib import Path

import msgspec
from rich.console import Console

from loadtest.experiment.findings import Findings
from loadtest.failures import CannotRunError
from loadtest.reports.html import page
from loadtest.reports.text import PLAIN_WIDTH, print_findings
from loadtest.verdict import HOLDS

RESULT = "result.json"
PAGE = "report.html"
SUMMARY = "summary.txt"


def write(findings: Findings, out: Path, *, beside: str = "") -> Path:
    """Writes all three, the page with such sections beside its own; returns the page's path."""
    # What is derived stands there, too, for scripts; reading it back derives it anew.
    verdict = {
        "exit_code": findings.exit_code,
        "verdicts": {
            s.name: {"exit_code": s.exit_code, "sentence": s.sentence} for s in findings.scenarios
        },
    }
    encoded = msgspec.json.encode(verdict | msgspec.to_builtins(findings))
    (out / RESULT).write_bytes(msgspec.json.format(encoded, indent=1) + b"\n")
    (out / PAGE).write_text(page(findings, beside=beside), encoding="utf-8")
    text = StringIO()
    print_findings(Console(file=text, width=PLAIN_WIDTH, highlight=False), findings)
    (out / SUMMARY).write_text(text.getvalue(), encoding="utf-8")
    return out / PAGE


def read(out: Path) -> Findings:
    """The findings of a run as they were written.

    Raises:
        CannotRunError: there are none.
    """
    try:
        return msgspec.json.decode((out / RESULT).read_bytes(), type=Findings)
    except OSError:
        raise CannotRunError(
            f"{out} has no {RESULT}: give the directory of a run (`--out` of `loadtest run`)."
        ) from None
    except msgspec.DecodeError as error:
        raise CannotRunError(
            f"{out / RESULT} is not a result of this version ({error}): run it again."
        ) from None


def newest_controls(reports: Path) -> dict[str, str]:
    """For each scenario the newest embedded run in this folder in which the control showed the anomaly and the guard none.

    A run against a deployment names it as its control.
    """
    found: dict[str, tuple[datetime, str]] = {}
    for file in reports.glob(f"*/{RESULT}"):
        with contextlib.suppress(CannotRunError):
            findings = read(file.parent)
            newest = (findings.started_at, str(file.parent))
            for scenario in findings.scenarios:
                held = scenario.exit_code == HOLDS and not scenario.target
                # A theory or a comparison holds without a control.
                if held and scenario.control_showed_it:
                    found[scenario.name] = max(newest, found.get(scenario.name, newest))
    return {name: folder for name, (_, folder) in found.items()}
