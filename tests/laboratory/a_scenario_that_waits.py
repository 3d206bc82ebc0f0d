"""A scenario that finishes one trial, then freezes the projector and waits for ever: what an interruption has to clean up after."""

import asyncio
import sys
from pathlib import Path

from msgspec import Struct

from loadtest import run
from loadtest.cli.interruptible import run_interruptible
from loadtest.cli.measuring import measured
from loadtest.experiment.findings import Cell, Judged, Measure
from loadtest.experiment.scenario import Arm, Scenario


class Plan(Struct, frozen=True):
    knobs: list[int]


async def measure(lab, arm, plan) -> None:
    async with lab.system(arm) as system:
        for knob in plan.knobs:
            async with lab.trial(system, arm, {"n x": knob}) as record:
                record.note(seen=knob)
        proxy = await system.faults.tcp_proxy(system.url, rng=lab.rng("proxy"))
        proxy.lose_answers = 1.0
        system.faults.pause(system.pid_of("projector"))
        async with lab.trial(system, arm, {"n x": 99}):
            lab.step("waiting for ever")
            await asyncio.Event().wait()


def judge(records, plan) -> Judged:
    return Judged(
        cells=[
            Cell(
                arm=r.trial.arm,
                guard="on",
                knob=r.trial.knobs["n x"],
                measures=[Measure(name="seen", value=r.trial.facts["seen"])],
            )
            for r in records
        ]
    )


SCENARIO = Scenario(
    number=99,
    name="waits",
    claim="It can be interrupted.",
    fault="Everything stands still.",
    anomaly="things left behind",
    knob="n x",
    arms=[Arm(name="guarded", guard="on")],
    plan=Plan(knobs=[1, 2]),
    quick=Plan(knobs=[1]),
    measure=measure,
    judge=judge,
)

if __name__ == "__main__":
    run.SCENARIOS = {"waits": SCENARIO}
    work = measured([SCENARIO], seed=1, out=Path(sys.argv[1]), reproduce="again")
    sys.exit(run_interruptible(work))
