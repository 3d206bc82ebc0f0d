"""A hall whose evenings people look at, leaf through and book, all at once: at a fixed rate, or as many as are answered.

The fixed load is made of people, whose every answer can be judged; the other is bytes over a few connections, for what a system can do at most.
"""

from msgspec import Struct

from loadtest.driver import Client, Offered, RequestWriter, Totals, closed_loop, open_loop, poisson
from loadtest.experiment.laboratory import Laboratory, Recorder
from loadtest.system import System
from loadtest.system.inventory import Opened
from loadtest.workloads.many_bookings import one_unit_each
from loadtest.workloads.person import Person

KINDS = ("look", "page", "book")
UNITS = 1_000_000
PAGE = 50
"""So many evenings there are, and stand on a page of the calendar."""
FROM = "2190-01-01T00:00:00Z"


class Crowd(Struct, frozen=True, kw_only=True):
    """The fixed load per second and its length; then how long each of the saturating loads lasts, over how many connections per kind.

    `hot_share` of the people of the fixed load want the same slot.
    """

    bookings_per_s: float
    looks_per_s: float
    pages_per_s: float
    seconds: float
    saturated_s: float
    connections: int = 16
    hot_share: float = 0.8


async def open_hall(lab: Laboratory, system: System) -> Opened:
    """Evenings with room for everybody."""
    return await system.open_resource(capacities=[UNITS] * PAGE, rng=lab.rng("hall"))


async def people(
    lab: Laboratory, client: Client, record: Recorder, opened: Opened, plan: Crowd
) -> Offered:
    """Everybody books a unit of some slot, looks at one, or opens the calendar."""
    weights = (plan.looks_per_s, plan.pages_per_s, plan.bookings_per_s)

    async def visit(number: int, intended_ns: int) -> None:
        rng = lab.rng("person", number)
        person = Person(client, record, number, rng)
        (kind,) = rng.choices(KINDS, weights)
        # Most want the same evening, so that what is read has just changed.
        slot_id = (
            opened.slot_ids[0] if rng.random() < plan.hot_share else rng.choice(opened.slot_ids)
        )
        if kind == "look":
            await person.look(slot_id, intended_ns=intended_ns)
        elif kind == "page":
            await person.do("page", "GET", _page(opened), intended_ns=intended_ns)
        else:
            await person.book(slot_id, intended_ns=intended_ns)

    arrivals = poisson(sum(weights), lab.rng("people"))
    return await open_loop(arrivals, visit, seconds=plan.seconds)


async def as_many_as_are_answered(system: System, opened: Opened, kind: str, plan: Crowd) -> Totals:
    """One kind of request over connections of its own."""
    write = RequestWriter(system.url)
    if kind == "book":
        next_request = one_unit_each(system.url, "/v1/bookings", opened.slot_ids)()
    elif kind == "look":
        looks = [write("GET", f"/v1/slots/{slot_id}") for slot_id in opened.slot_ids]
        next_request = lambda n: looks[n % len(looks)]  # noqa: E731  as short as it is
    else:
        page = write("GET", _page(opened))
        next_request = lambda _: page  # noqa: E731  as short as it is
    return await closed_loop(
        system.url,
        connections=plan.connections,
        seconds=plan.saturated_s,
        next_request=next_request,
    )


def told(totals: Totals, kind: str) -> dict[str, float]:
    """What became of one kind: answers per second, how long they took, and how many went astray."""
    wanted = totals.statuses[201 if kind == "book" else 200]
    return {
        "per_s": wanted / totals.seconds,
        "astray": totals.statuses.total() - wanted + totals.unanswered,
        "p50_ms": totals.percentile_ms(50),
        "p99_ms": totals.percentile_ms(99),
    }


def _page(opened: Opened) -> str:
    return f"/v1/availability?resource_id={opened.resource_id}&from={FROM}&limit={PAGE}"
