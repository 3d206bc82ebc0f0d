"""Does everybody see what they did themselves?

Within a journey, a read that began after a write was answered must not show an older version of what was written, nor miss it altogether.
An honest 412 ("I am behind") is no answer and no violation.
"""

from collections.abc import Sequence

from loadtest.checkers.journeys import by_journey, is_read, versions_shown, versions_written
from loadtest.history import LoggedEvent, Operation
from loadtest.verdict import Judgement, Witness, judged

RULE = "read_your_writes"


def read_your_writes(operations: Sequence[Operation], events: Sequence[LoggedEvent]) -> Judgement:  # noqa: ARG001 -- all checkers take both
    """Judges every journey. Opportunities are reads of something the same person had written before."""
    witnesses: list[Witness] = []
    opportunities = 0
    for journey in by_journey(operations):
        written: dict[str, tuple[int, Operation]] = {}
        for operation in journey:
            if not is_read(operation):
                for what, version in versions_written(operation).items():
                    if version > written.get(what, (0, operation))[0]:
                        written[what] = (version, operation)
                continue
            for what, shown in versions_shown(operation).items():
                if what not in written or written[what][1].return_ns > operation.invoke_ns:
                    continue
                opportunities += 1
                version, write = written[what]
                if shown < version:
                    witnesses.append(_witness(what, version, shown, write, operation))
    return judged(RULE, opportunities=opportunities, witnesses=witnesses)


def _witness(what: str, version: int, shown: int, write: Operation, read: Operation) -> Witness:
    after_ms = (read.invoke_ns - write.return_ns) / 1e6
    seen = "version {shown}" if shown else "nothing"
    return Witness(
        story=f"journey {{journey}} was answered version {{version}} of {{what}} and {{after_ms:.1f}} ms later was shown {seen}",
        facts={
            "journey": read.journey,
            "what": what,
            "version": version,
            "shown": shown,
            "after_ms": after_ms,
        },
        size=version - shown,
    )
