"""What a projector shows of itself: every figure is documented, and they tell what happened."""

from pathlib import Path

from at_work import projecting
from eventually import eventually
from prometheus_client import generate_latest

from projector.consumer.metrics import ConsumerMetrics

PAGE = Path(__file__).parents[2] / "docs/operations.md"


def test_every_figure_stands_on_the_page_of_operators():
    page = PAGE.read_text()
    families = list(ConsumerMetrics().registry.collect())
    names = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    missing = {name for name in names if f"`{name}" not in page}
    assert len(names) > 20
    assert not missing


async def test_repeats_gaps_and_batches_are_counted(log, owner, stream, writer):
    slot_id = await log.slot(capacity=9)
    await stream.copy()
    async with projecting(writer, stream.url) as projector:

        async def there() -> bool:
            done = await owner.fetchval("SELECT position FROM read_model.checkpoint")
            return done == log.position

        await eventually(there)
        for _ in range(3):
            await log.hold(slot_id)
        await stream.delete()
        await stream.create(first_seq=log.position)
        await stream.copy()
        await eventually(there)
        said = generate_latest(projector.metrics.registry).decode().splitlines()
        figures = dict(line.rsplit(" ", 1) for line in said if not line.startswith("#"))
        assert float(figures["projector_position"]) == log.position
        assert float(figures["projector_events_applied_total"]) >= 3
        assert float(figures["projector_events_from_log_total"]) >= 2
        assert float(figures["projector_batch_events_count"]) == float(
            figures["projector_batches_applied_total"]
        )
