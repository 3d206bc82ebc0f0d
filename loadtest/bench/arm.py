"""What takes turns: an arm runs for a few seconds at a time and says what came of it.

Every arm of a measurement is started before the first turn and lives until the last, so that a turn costs nothing but itself. Then all take
turns, each round beginning with another one: what else happens on the machine meets all of them, and so does what one leaves to the next.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from loadtest.bench.figures import Turn, spread
from loadtest.driver import NextRequest, RequestWriter, closed_loop
from loadtest.instruments.cpu_used import Used, per_answer_us

Say = Callable[[str], None]


class Arm(Protocol):
    """Something that can be compared; `name` is what the tables call it."""

    @property
    def name(self) -> str:
        """Its name in the tables."""

    async def turn(self, seconds: float) -> Turn:
        """Runs for about so long."""


class Crowd(Arm, Protocol):
    """An arm that any number of clients can run."""

    clients: int


async def choose_clients(
    arm: Crowd, choices: Sequence[int], *, trials: int, seconds: float, say: Say
) -> dict[int, float]:
    """Gives an arm the number of clients with which it does most; returns the median of what it did per second with each.

    Whoever is compared with others may choose, or the number would decide who wins. The numbers take turns, each `trials` times, each round
    beginning with another one: noise that meets one trial does not choose. Where there is one choice, nothing is tried.
    """
    if len(choices) == 1:
        [arm.clients] = choices
        return {}
    among = ", ".join(map(str, choices))
    total_s = trials * len(choices) * seconds
    say(f"{arm.name} chooses among {among} clients, which takes {total_s:.0f} s")
    rates: dict[int, list[float]] = {clients: [] for clients in choices}
    for number in range(trials):
        for place in range(len(choices)):
            arm.clients = choices[(number + place) % len(choices)]
            rates[arm.clients].append((await arm.turn(seconds)).per_second)
    tried = {clients: spread(each) for clients, each in rates.items()}
    for clients, did in tried.items():
        say(
            f"{arm.name} with {clients} clients: {did.median:.0f}/s ({did.lowest:.0f} to {did.highest:.0f})"
        )
    arm.clients = max(choices, key=lambda clients: tried[clients].median)
    return {clients: did.median for clients, did in tried.items()}


async def take_turns(arms: Sequence[Arm], *, rounds: int, seconds: float, say: Say) -> list[Turn]:
    """Every arm runs `rounds` times; `say` is told each rate."""
    turns = []
    for number in range(rounds):
        for place in range(len(arms)):
            arm = arms[(number + place) % len(arms)]
            turns.append(await arm.turn(seconds))
            say(f"round {number + 1} of {rounds}: {arm.name}: {turns[-1].per_second:.0f}/s")
    return sorted(turns, key=lambda turn: [arm.name for arm in arms].index(turn.arm))


async def warm_up(arms: Sequence[Arm], *, seconds: float) -> None:
    """Plans are made, caches filled, pages written once; nothing of it is measured."""
    for arm in arms:
        await arm.turn(seconds)


class HttpArm:
    """Requests as fast as the answers come back, over connections that each carry one at a time."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        requests: Callable[[], NextRequest],
        wanted: int,
        read_cpu: Callable[[], Used],
        connections: int,
    ) -> None:
        """`requests` is called once per turn; an answer counts with the status `wanted`."""
        self.name = name
        self.answered = 0
        """In all turns so far, warming up included."""
        self._url = url
        self._requests = requests
        self._wanted = wanted
        self._read_cpu = read_cpu
        self.clients = connections

    async def turn(self, seconds: float) -> Turn:
        """One closed loop."""
        before = self._read_cpu()
        totals = await closed_loop(
            self._url,
            connections=self.clients,
            seconds=seconds,
            next_request=self._requests(),
        )
        after = self._read_cpu()
        answered = totals.statuses[self._wanted]
        self.answered += answered
        return Turn(
            arm=self.name,
            seconds=totals.seconds,
            answered=answered,
            astray=totals.statuses.total() - answered + totals.unanswered,
            per_second=answered / totals.seconds,
            p50_ms=totals.percentile_ms(50),
            p99_ms=totals.percentile_ms(99),
            clients=self.clients,
            cpu_us=per_answer_us(before, after, answered),
        )


def same(url: str, path: str, headers: Sequence[tuple[str, str]] = ()) -> NextRequest:
    """One GET, again and again."""
    request = RequestWriter(url)("GET", path, headers=headers)
    return lambda _: request
