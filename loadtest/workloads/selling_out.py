"""What scenarios 1 and 2 do alike: sell a slot out at each staleness, several times, and write each sale down as a trial."""

from msgspec import Struct, to_builtins

from loadtest.experiment.laboratory import Laboratory, Recorder, Variant
from loadtest.system.inventory import at_rest, until_not_older
from loadtest.workloads.sale import Buyers, Sale

# People before the sale that is measured, on a slot nobody judges: first requests pay for connections and statements.
WARM_UP_BUYERS_PER_S = 200.0
WARM_UP_S = 0.3
WARM_UP_CAPACITY = 10_000
# Longer than any sale takes, should nobody ever be shown that it is sold out.
SALE_MARGIN_S = 5.0
# How much older than S the view may be when nothing happens: heartbeats come every 100 ms.
IDLE_AGE_MS = 250


class SellOuts(Struct, frozen=True, kw_only=True):
    """The size of the experiment; λ is `buyers_per_s`, the lags are the S of each row."""

    lags_ms: list[int]
    sales: int
    capacity: int = 500
    buyers_per_s: float = 500
    think_ms: float = 25
    must_oversell_from_ms: int = 50


async def sell_out(lab: Laboratory, arm: Variant, plan: SellOuts, *, strong: bool = False) -> None:
    """Every sale of one arm, on one data directory; the system is started again for every staleness.

    Against somebody's deployment nothing can be injected: the sales are made once, at whatever lag there is.
    """
    lags_ms = [0] if lab.target is not None else plan.lags_ms
    slots: dict[int, list[str]] = {}
    warm_up_slot = ""
    for lag_ms in lags_ms:
        where = f"{arm.name}, S = {lag_ms} ms"
        lab.step(f"{where}: starting the system")
        injected = {"PROJECTOR_INJECTED_LAG_MS": str(lag_ms)}
        async with lab.system(arm, injected) as system, system.client() as client:
            if not slots:
                # All at once, so that later starts find them already in the view.
                opened = await system.open_resource(
                    capacities=[WARM_UP_CAPACITY, *[plan.capacity] * (len(lags_ms) * plan.sales)],
                    rng=lab.rng("slots", arm.name),
                )
                ids = opened.slot_ids
                warm_up_slot = ids[0]
                slots = {
                    lag: ids[1 + plan.sales * n : 1 + plan.sales * (n + 1)]
                    for n, lag in enumerate(lags_ms)
                }
            # Every start warms up on the same slot, so its people must be others each time. Nobody keeps a record of them.
            warm_up = Sale(
                slot_id=warm_up_slot,
                buyers_per_s=WARM_UP_BUYERS_PER_S,
                think_ms=plan.think_ms,
                seconds_max=WARM_UP_S,
            )
            others = lab.rng("warm up", arm.name, lag_ms)
            await Buyers(client, warm_up, Recorder("", arm.name), others).come()
            await until_not_older(
                client,
                slots[lag_ms][0],
                age_max_ms=lag_ms + IDLE_AGE_MS,
                deadline_s=lag_ms / 1000 + SALE_MARGIN_S,
            )
            for number, slot_id in enumerate(slots[lag_ms], start=1):
                lab.step(f"{where}: sale {number} of {plan.sales}")
                sale = Sale(
                    slot_id=slot_id,
                    buyers_per_s=plan.buyers_per_s,
                    think_ms=plan.think_ms,
                    seconds_max=plan.capacity / plan.buyers_per_s + lag_ms / 1000 + SALE_MARGIN_S,
                    strong=strong,
                )
                knobs = {"S ms": lag_ms, "sale": number}
                async with lab.trial(system, arm, knobs, slot_ids=[slot_id]) as record:
                    # The same people in both arms: the seed does not know the arm.
                    await Buyers(client, sale, record, lab.rng(lag_ms, number)).come()
                    record.note(final=to_builtins(await at_rest(client, slot_id)))
