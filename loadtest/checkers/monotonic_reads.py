"""Does time run forwards for everybody? Within a journey, a later read must not show an older version (or, of a list, an older position)."""

from collections.abc import Sequence

from loadtest.checkers.journeys import by_journey, is_read, versions_shown
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "monotonic_reads"


def monotonic_reads(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:  # noqa: ARG001 -- all checkers take both
    """Judges every journey. Opportunities are reads of something the same person had been shown before."""
    witnesses: list[Witness] = []
    opportunities = 0
    for journey in by_journey(operations):
        seen: dict[str, tuple[int, Operation]] = {}
        for operation in journey:
            if not is_read(operation):
                continue
            for what, shown in versions_shown(operation).items():
                if what in seen and seen[what][1].return_ns <= operation.invoke_ns:
                    opportunities += 1
                    if shown < seen[what][0]:
                        witnesses.append(_witness(what, shown, operation, *seen[what]))
                if what not in seen or shown > seen[what][0]:
                    seen[what] = (shown, operation)
    return judged(RULE, opportunities=opportunities, witnesses=witnesses)


def _witness(what: str, shown: int, later: Operation, version: int, earlier: Operation) -> Witness:
    return Witness(
        story="journey {journey} was shown version {version} of {what} by {earlier} and {after_ms:.1f} ms later version {shown} by {later}",
        facts={
            "journey": later.journey,
            "what": what,
            "version": version,
            "shown": shown,
            "earlier": earlier.node or "the system",
            "later": later.node or "the system",
            "after_ms": (later.invoke_ns - earlier.return_ns) / 1e6,
        },
        size=version - shown,
    )
