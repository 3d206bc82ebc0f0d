"""What an operator should look at, a sentence with the remedy each; nothing when all is well.

A source that was asked and does not answer is one; what nobody was asked about is only named as unknown.
"""

from collections.abc import Iterator

from projector.status.consistency import Consistency
from projector.status.jetstream import JetStreamView
from projector.status.measures import Measures
from projector.status.pipeline import CATCHES_UP_WITHIN_S, Pipeline

SILENT_MS = 2_500
"""Everybody renews its row once a second, and hears of the log every 100 ms."""
AT_WORK = ("running", "behind", "rebuilding")


def troubles(pipeline: Pipeline) -> Iterator[str]:
    """The sentences, of who does not answer and then from the log onwards."""
    yield from pipeline.silent
    if pipeline.consistency is not None:
        yield from _of_readers(pipeline.consistency)
    if pipeline.jetstream is not None:
        yield from _of_jetstream(pipeline.jetstream)
    if pipeline.stream_lacks:
        yield (
            f"The stream has lacked {pipeline.stream_lacks:,} events of the log for more than "
            f"{CATCHES_UP_WITHIN_S:.0f} s: is `booking relay` at work?"
        )
    if pipeline.measures is not None:
        yield from _of_measures(pipeline.measures)


def _of_readers(seen: Consistency) -> Iterator[str]:
    if seen.log is None:
        yield "The log cannot be read: the write side's database is away."
    if not any(projector.state in AT_WORK for projector in seen.projectors):
        yield "No projector is at work: start `projector run`."
    for projector in seen.projectors:
        if projector.state == "stopped":
            yield f"{projector.name} has stopped: {projector.reason or 'its log says why'}."
    dead_letters = max((projector.dead_letters for projector in seen.projectors), default=0)
    if dead_letters:
        yield (
            f"{dead_letters} dead letters: `projector dead-letters list` says why, "
            "`projector dead-letters retry` takes them in again."
        )
    heard = [(p.name, p.age_ms) for p in seen.projectors] + [(n.node, n.age_ms) for n in seen.nodes]
    for who, age_ms in heard:
        if age_ms is not None and age_ms > SILENT_MS:
            yield f"{who} has heard nothing for {age_ms:,} ms: is what feeds it running?"


def _of_jetstream(jetstream: JetStreamView) -> Iterator[str]:
    if not jetstream.healthy:
        yield "The NATS server says that it is not healthy: its log says why."
    if jetstream.stream is None:
        yield "There is no stream: is `booking relay` running?"
    elif jetstream.stream.holes:
        yield f"The stream has {jetstream.stream.holes:,} holes; the relay makes it again."


def _of_measures(measures: Measures) -> Iterator[str]:
    for process in measures.down:
        yield f"The {process} does not answer: does it run, and what does its log say?"
    if measures.drift:
        yield f"{measures.drift:,} rows have drifted: run `projector verify --repair`."
