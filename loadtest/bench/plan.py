"""How long everything takes and how much of it there is: what `loadtest bench` was asked for, handed to every measurement."""

from pathlib import Path

from msgspec import Struct

from loadtest.bench.arm import Say

TRIALS_MAX = 3
"""Of each number of clients that may be chosen: an odd number, so that the median is a trial."""


class Plan(Struct, frozen=True, kw_only=True):
    """The size of a run; the defaults are what the promises are judged by."""

    rounds: int = 5
    turn_s: float = 3.0
    warm_up_s: float = 2.0
    calibration_s: float = 2.0
    """Of each trial before a number of clients is chosen."""
    sustained_s: float = 60.0
    """Of what must last: the whole pipeline, and a snapshot held open."""
    connections: int = 128
    clients: tuple[int, ...] = (128, 256, 384, 512)
    """What the product may choose from on one hot slot, and the routes beside it: pgbench may choose, too."""
    pipeline_clients: tuple[int, ...] = (192, 256, 320)
    """What the whole pipeline may choose from: more sell hardly more, and see views older than is promised."""
    slots: tuple[int, ...] = (1,)
    """Over how many slots the guards are compared."""
    rebuild_events: int = 300_000
    flat_slots: int = 1_000_000
    flat_events: int = 5_000_000
    flush_delay_us: int = 0
    """What every flush takes longer on purpose, at least, in all systems and for the yardstick alike."""

    @property
    def trials(self) -> int:
        """How often each number of clients is tried: not more often than what is chosen by it is measured."""
        return min(TRIALS_MAX, self.rounds)


class Bench(Struct, frozen=True, kw_only=True):
    """What a measurement works with: the plan, a folder that is thrown away, and somebody to tell how far it is."""

    plan: Plan
    folder: Path
    say: Say
