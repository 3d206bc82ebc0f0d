"""A trial: one arm of a scenario, once, at one setting of its knobs; written down so that it can be judged again at any time.

On disk a scenario is a folder: `plan.json`, `trials.jsonl`, `history.jsonl` (all operations, each naming its trial) and the event log of each
system it used. Nothing else is needed to judge, and judging changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import msgspec
from msgspec import Struct

from loadtest import history
from loadtest.history import LoggedEvent, Operation

TRIALS = "trials.jsonl"
PLAN = "plan.json"

Knob = float | int | str


class Generator(Struct, frozen=True, kw_only=True):
    """How well one generator did its own part; an experiment whose generator was late says so."""

    offered: int
    sent: int = 0
    dropped: int = 0
    late_p99_ms: float = 0.0
    seconds: float = 0.0
    cpu_s: float = 0.0


class Mark(Struct, frozen=True, kw_only=True):
    """Something that was done to the system during a trial: a fault, from `at_ns` to `until_ns` (null: a moment)."""

    what: str
    at_ns: int
    until_ns: int | None = None


class Trial(Struct, frozen=True, kw_only=True):
    """What is known about a trial beside its operations and events.

    `knobs` are its settings, `facts` what the scenario noted (anything JSON can carry), `log` the file its events are in; `slot_ids` limits
    them to what concerns it. `history_bytes` and `log_bytes` say from where to where the two files were about it when it ended, so that one
    trial of many can be judged without reading all. `complete` is false for one that was interrupted.
    """

    name: str
    arm: str
    knobs: dict[str, Knob]
    slot_ids: list[str] = []
    log: str | None = None
    history_bytes: tuple[int, int] = (0, 0)
    log_bytes: tuple[int, int] = (0, 0)
    began_ns: int = 0
    ended_ns: int = 0
    generators: list[Generator] = []
    marks: list[Mark] = []
    facts: dict[str, Any] = {}
    complete: bool = True


class Record(Struct, frozen=True, kw_only=True):
    """A trial with all its evidence: what a scenario's `judge` gets."""

    trial: Trial
    operations: list[Operation]
    events: list[LoggedEvent]

    def of(self, *ops: str) -> list[Operation]:
        """The operations of these kinds, in order of completion."""
        return [operation for operation in self.operations if operation.op in ops]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Trial).decode


def append_trial(folder: Path, trial: Trial) -> None:
    """Writes a trial down."""
    with (folder / TRIALS).open("ab") as file:
        file.write(_encode(trial) + b"\n")


def read_trials(folder: Path) -> list[Trial]:
    """The complete trials of a scenario, in the order they were made."""
    if not (folder / TRIALS).exists():
        return []
    trials = [_decode(line) for line in (folder / TRIALS).read_bytes().splitlines()]
    return [trial for trial in trials if trial.complete]


def read_records(folder: Path, *, only: Iterable[str] | None = None) -> list[Record]:
    """The complete trials of a scenario with their evidence, in the order they were made; `only` these, by name."""
    wanted = None if only is None else set(only)
    trials = [t for t in read_trials(folder) if wanted is None or t.name in wanted]
    operations: dict[str, list[Operation]] = defaultdict(list)
    if trials and (folder / history.FILE).exists():
        names, since = {t.name for t in trials}, min(t.history_bytes[0] for t in trials)
        for operation in history.read(folder / history.FILE, since=since):
            if operation.run in names:
                operations[operation.run].append(operation)
    since_of: dict[str, int] = {}
    for trial in trials:
        if trial.log is not None:
            first = trial.log_bytes[0]
            since_of[trial.log] = min(first, since_of.get(trial.log, first))
    logs = {log: history.read_events(folder / log, since=since) for log, since in since_of.items()}
    return [
        Record(
            trial=trial,
            operations=operations[trial.name],
            events=about(logs[trial.log], trial.slot_ids) if trial.log is not None else [],
        )
        for trial in trials
    ]


class OneByOne(Sequence[Record]):
    """The complete trials of a scenario with their evidence as it was when each ended, read when they are asked for and not kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trials = read_trials(folder)

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> list[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | list[Record]:
        """Reads one, or several."""
        found = self._trials[at]
        return [self._read(t) for t in found] if isinstance(found, list) else self._read(found)

    def _read(self, trial: Trial) -> Record:
        since, until = trial.history_bytes
        operations = history.read(self._folder / history.FILE, since=since, until=until or None)
        events: list[LoggedEvent] = []
        if trial.log is not None:
            since, until = trial.log_bytes
            logged = history.read_events(self._folder / trial.log, since=since, until=until or None)
            events = about(logged, trial.slot_ids)
        return Record(
            trial=trial,
            operations=[operation for operation in operations if operation.run == trial.name],
            events=events,
        )


def about(events: Sequence[LoggedEvent], slot_ids: Sequence[str]) -> list[LoggedEvent]:
    """The events that touch one of these slots, or whose booking once had one of them; all, when none is named."""
    if not slot_ids:
        return list(events)
    wanted = set(slot_ids)
    bookings = {
        event.booking_id
        for event in events
        if event.booking_id is not None and any(slot.slot_id in wanted for slot in event.slots)
    }
    return [
        event
        for event in events
        if any(slot.slot_id in wanted for slot in event.slots)
        or (event.booking_id is not None and event.booking_id in bookings)
    ]
