"""An audit's report in sentences: what holds, or what does not with the smallest witness first."""

from collections.abc import Iterator, Mapping
from typing import Final

from booking.audit.audit import Report
from booking.audit.findings import RULES, Witness

SHOWN_MAX: Final = 20
"""Witnesses in words; `--json` has all that were kept."""

_SAYS: Final[Mapping[str, str]] = {
    "counters": "the counters say",
    "lines": "the lines say",
    "bookings": "the bookings sum to",
    "log": "the log folds to",
    "row": "its row says",
    "event": "the event says",
    "expected": "what came before makes it",
}


def sentences(report: Report) -> Iterator[str]:
    """Line by line, for people."""
    seen = (
        f"events {report.events:,}, resources {report.resources:,}, slots {report.slots:,}, "
        f"bookings {report.bookings:,}, customers' uses {report.customer_uses:,}; "
        f"{report.seconds:.1f} s, {report.events_per_s:,} events/s"
    )
    if report.verdict == "valid":
        yield f"The books agree up to position {report.position:,}."
        yield f"  {seen}"
        return
    number = sum(report.violations.values())
    yield f"The books do not agree: {number:,} found up to position {report.position:,}."
    yield f"  {seen}"
    for rule, claim in RULES.items():
        if rule in report.violations:
            yield f"  {report.violations[rule]:,} × {rule}: {claim}"
    for witness in report.witnesses[:SHOWN_MAX]:
        yield _sentence(witness)
    if number > SHOWN_MAX:
        yield f"… and {number - SHOWN_MAX:,} more"


def _sentence(witness: Witness) -> str:
    who = " ".join(str(part) for part in (witness.entity, witness.id) if part)
    if witness.customer_id is not None:
        who += f" customer {witness.customer_id}"
    told = "; ".join(f"{_SAYS[source]} {_facts(facts)}" for source, facts in witness.says.items())
    return f"{witness.rule}: {who} at position {witness.position}: {told}"


def _facts(facts: Mapping[str, object]) -> str:
    if "there" in facts:
        return "it is there" if facts["there"] else "it is not there"
    return ", ".join(f"{name} {_word(fact)}" for name, fact in facts.items())


def _word(fact: object) -> str:
    match fact:
        case None | "":
            return "nothing"
        case bool():
            return "yes" if fact else "no"
        case dict():
            return " ".join(f"{name}×{units}" for name, units in fact.items()) or "none"
        case list():
            return " ".join(map(str, fact)) or "none"
        case _:
            return str(fact)
