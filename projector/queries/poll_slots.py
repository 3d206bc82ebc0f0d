"""What became of some slots since: where the read model stands, and the rows that are newer."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg

from booking.events.messages import SlotState
from projector.queries.found import columns, fill
from projector.queries.standing import Standing

_WHOLE_SLOT = columns(SlotState, "n")
_CHECKPOINT_WIDTH = 5

# The rows are looked for only when the checkpoint is not where it was seen.
POLL_SLOTS = f"""
SELECT c.epoch, c.generation, c.position, c.as_of, c.state, {_WHOLE_SLOT}
FROM read_model.checkpoint AS c LEFT JOIN LATERAL (
    SELECT s.* FROM read_model.slot AS s
    LEFT JOIN unnest($1::uuid[], $2::bigint[]) AS k(slot_id, version) USING (slot_id)
    WHERE (s.slot_id = ANY($1::uuid[]) OR s.resource_id = ANY($3::uuid[]))
      AND s.version > coalesce(k.version, 0)
) AS n ON (c.generation, c.position) IS DISTINCT FROM ($4::bigint, $5::bigint)
"""


async def poll_slots(
    read_model: asyncpg.Pool,
    *,
    versions: Mapping[UUID, int],
    resource_ids: Sequence[UUID],
    seen: tuple[int, int] | None,
) -> tuple[Standing | None, list[SlotState]]:
    """The slots newer than `versions`, and any newer of the resources; no standing while rebuilding.

    `seen` is the generation and position of the last round: as long as they stand, nothing changed.
    """
    generation, position = seen or (None, None)
    rows = await read_model.fetch(
        POLL_SLOTS, list(versions), list(versions.values()), resource_ids, generation, position
    )
    epoch, generation, position, as_of, state = rows[0][:_CHECKPOINT_WIDTH]
    if epoch is None or as_of is None or state != "running":
        return None, []
    now = Standing(epoch=epoch, generation=generation, position=position, as_of=as_of)
    return now, [
        fill(SlotState, row[_CHECKPOINT_WIDTH:]) for row in rows if row["slot_id"] is not None
    ]
