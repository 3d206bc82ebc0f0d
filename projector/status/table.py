"""The pipeline as a table for people: log, stream, relay, projectors, query nodes, and what is wrong.

Lag is the difference to the log's head in positions, and the age in milliseconds; a value nobody
told is a dash. What needs a hand is coloured, and named again in words below the table, so that
nothing depends on colour.
"""

from datetime import datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from projector.status.jetstream import JetStreamView
from projector.status.measures import Measures
from projector.status.pipeline import Pipeline
from projector.status.troubles import troubles

RELAY = "relay"
"""Its name where `booking up` shows its processes."""


def table(pipeline: Pipeline) -> Group:
    """The table and, below it, what is wrong and what nobody was asked about."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (
        ("", "left"),
        ("position", "right"),
        ("lag", "right"),
        ("age ms", "right"),
        ("", "left"),
    ):
        rows.add_column(name, justify=justify)  # type: ignore[arg-type]  # rich's literal
    _add_log_and_stream(rows, pipeline)
    _add_readers(rows, pipeline)
    below = [Text(f"! {sentence}", style="red") for sentence in troubles(pipeline)]
    below += [Text(f"? {sentence}", style="yellow") for sentence in pipeline.untold]
    return Group(rows, *below)


def _add_log_and_stream(rows: Table, pipeline: Pipeline) -> None:
    seen, jetstream, measures = pipeline.consistency, pipeline.jetstream, pipeline.measures
    head = pipeline.log_position
    epoch = f"epoch {seen.epoch}" if seen and seen.epoch else ""
    queue = _said(measures.commands_queued if measures else None)
    batch = _mean(measures.commands_per_batch if measures else None)
    rows.add_row("log", _said(head), "", "", epoch)
    rows.add_row("api", "", "", "", f"{queue} queued, {batch} commands a batch")
    if measures is not None:
        rows.add_row(
            "relay",
            _said(measures.relay_position),
            _lag(head, measures.relay_position),
            "",
            _of_relay(measures),
            style="red" if RELAY in measures.down else None,
        )
    last_seq = pipeline.stream_position
    if last_seq is None and seen:
        last_seq = seen.stream.last_seq
    rows.add_row("stream", _said(last_seq), _lag(head, last_seq), "", _of_stream(jetstream))
    if jetstream is not None and jetstream.stream is not None:
        for consumer in jetstream.stream.consumers:
            rows.add_row(
                "  consumer",
                _said(consumer.delivered_seq),
                _said(consumer.pending),
                "",
                f"{consumer.redelivered} redelivered, {consumer.waiting} pulls wait  "
                f"{consumer.name}",
            )


def _add_readers(rows: Table, pipeline: Pipeline) -> None:
    seen, measures = pipeline.consistency, pipeline.measures
    if seen is None:
        return
    head = pipeline.log_position
    batch = _mean(measures.events_per_batch if measures else None)
    for p in seen.projectors:
        # The mean is of all listeners together: it says nothing of one that does not work.
        at_work = "" if p.state in ("standby", "stopped") else f" {batch} events a batch,"
        rows.add_row(
            "projector",
            _said(p.position),
            _lag(head, p.position),
            _said(p.age_ms),
            f"{p.state},{at_work} {p.dead_letters} dead letters  {p.name}",
            style="red" if p.state == "stopped" else None,
        )
    for node in seen.nodes:
        rows.add_row(
            "queries",
            _said(node.applied),
            _lag(head, node.applied),
            _said(node.age_ms),
            node.node,
        )


def _of_relay(measures: Measures) -> str:
    if RELAY in measures.down:
        return "does not answer"
    if measures.relay_connects is None:
        return "not told by any listener that was asked"
    healed = _said(measures.relay_healed or 0)
    return f"{_said(measures.relay_connects)} connections made, stream healed {healed} times"


def _of_stream(jetstream: JetStreamView | None) -> str:
    if jetstream is None:
        return ""
    kept = "-" if jetstream.advisories is None else str(jetstream.advisories)
    server = (
        f"NATS {jetstream.version}, {jetstream.connections} connections, {kept} advisories kept"
    )
    stream = jetstream.stream
    if stream is None:
        return server
    last_at = _time(stream.last_at)
    return (
        f"{stream.messages:,} messages from {stream.first_seq:,}, {_bytes(stream.bytes)}, "
        f"last {last_at}; {server}"
    )


def _said(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _mean(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _lag(head: int | None, position: int | None) -> str:
    return "-" if head is None or position is None else f"{max(0, head - position):,}"


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%H:%M:%S}Z"


def _bytes(number: int) -> str:
    value = float(number)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
