"""Is what somebody does decided after what they had seen? Within a journey, a write's version is not lower than any version of the same thing shown before."""

from collections.abc import Sequence

from loadtest.checkers.journeys import by_journey, is_read, versions_shown, versions_written
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Fact, Judgement, Witness, judged

RULE = "writes_follow_reads"


def writes_follow_reads(
    operations: Sequence[Operation],
    events: Sequence[LoggedEvent],  # noqa: ARG001 -- all checkers take both
) -> Judgement:
    """Judges every journey. Opportunities are accepted writes to something the same person had been shown; replays are of earlier."""
    witnesses: list[Witness] = []
    opportunities = 0
    for journey in by_journey(operations):
        seen: dict[str, tuple[int, Operation]] = {}
        for operation in journey:
            if is_read(operation):
                for what, shown in versions_shown(operation).items():
                    if what not in seen or shown > seen[what][0]:
                        seen[what] = (shown, operation)
                continue
            if operation.replayed:
                continue
            for what, version in versions_written(operation).items():
                if what not in seen or seen[what][1].return_ns > operation.invoke_ns:
                    continue
                opportunities += 1
                # A repeated command without an event answers the version there is.
                if version < seen[what][0]:
                    facts: dict[str, Fact] = {
                        "journey": operation.journey,
                        "what": what,
                        "version": version,
                        "shown": seen[what][0],
                        "op": operation.op,
                    }
                    story = "journey {journey} had been shown version {shown} of {what}; its {op} made version {version}"
                    witnesses.append(
                        Witness(story=story, facts=facts, size=seen[what][0] - version)
                    )
    return judged(RULE, opportunities=opportunities, witnesses=witnesses)
