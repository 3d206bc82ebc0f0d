"""What was sold of each slot, by the event log, in one statement: for comparisons that make more events than one wants to read one by one."""

from loadtest.instruments.server_load import Gauge

SOLD = """
SELECT coalesce(string_agg(slot_id || ' ' || units, ','), '') FROM (
    SELECT slot ->> 'slot_id' AS slot_id, sum((slot ->> 'units')::integer) AS units
    FROM published.events, json_array_elements(slots) AS slot
    WHERE booking_id IS NOT NULL
    GROUP BY 1) AS sold
"""


async def sold_by_the_log(gauge: Gauge) -> dict[str, int]:
    """Units by slot; slots of which nothing was sold are left out.

    Raises:
        CannotRunError: psql was refused.
    """
    told = await gauge.ask(SOLD)
    pairs = (pair.split(" ") for pair in (told[0] if told else "").split(",") if pair)
    return {slot_id: int(units) for slot_id, units in pairs}
