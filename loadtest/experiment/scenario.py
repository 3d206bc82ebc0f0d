"""What a scenario is: a claim, arms with and without the guard, a way to measure and a pure way to judge.

`measure` does things to a system and writes them down; `judge` sees only what was written down, so that any run can be judged again. Each
scenario is one module of `loadtest.scenarios` with a constant SCENARIO.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from loadtest.evidence.trial import Record
from loadtest.experiment.findings import Guard, Judged, Kind
from loadtest.experiment.laboratory import Laboratory


class Arm(Struct, frozen=True, kw_only=True):
    """One variant of an experiment: its name, whether the guard under test is on, and the settings that make it so."""

    name: str
    guard: Guard
    settings: Mapping[str, str] = {}


class Scenario(Struct, frozen=True, kw_only=True):
    """One experiment.

    `anomaly` completes "n …" (plural: "units sold twice"); `knob` names what is varied, with its unit; `plan` and `quick` are structs of the
    scenario's own with its sizes. `measure(lab, arm, plan)` is called once per arm; `judge(records, plan)` gets every complete trial, also of an
    interrupted run, and must not do anything but compute. `target` says that it can run against somebody's deployment, `left_out` what of it cannot.
    """

    number: int
    name: str
    claim: str
    fault: str
    anomaly: str
    knob: str
    arms: Sequence[Arm]
    plan: Any
    quick: Any
    measure: Callable[[Laboratory, Arm, Any], Awaitable[None]]
    judge: Callable[[Sequence[Record], Any], Judged]
    kind: Kind = "guard"
    target: bool = False
    left_out: str = "Nothing is injected: the lag is what the deployment has by itself."
