"""A wire between the stream and a projector that repeats, shuffles, loses and invents messages."""

import random
from collections import deque

from projector.consumer.order import Arrival


class Disorder(deque[Arrival]):
    """What a projector takes for the arrivals of its stream; seeded, so a story can be told again."""

    def __init__(self, seed: int, *, lose: float = 0.2, invent: float = 0.1) -> None:
        super().__init__()
        self._chance = random.Random(seed)  # noqa: S311  the same disorder in every run
        self._lose, self._invent = lose, invent
        self._kept: list[Arrival] = []
        self.calm = False
        self.done: list[str] = []

    def append(self, arrival: Arrival) -> None:
        """Pass a message on, or something worse."""
        if self.calm:
            super().append(arrival)
            return
        self._kept += self._made_of(arrival)
        if len(self._kept) > self._chance.randrange(1, 9):
            self._chance.shuffle(self._kept)
            self.extend(self._kept)
            self._kept.clear()

    def _made_of(self, arrival: Arrival) -> list[Arrival]:
        if self._chance.random() < self._lose:
            self.done.append("lost")
            return []
        made = [arrival] * self._chance.choice((1, 1, 2, 3))
        self.done += ["repeated"] * (len(made) - 1)
        if self._chance.random() < self._invent:
            self.done.append("invented")
            made.append(self._chance.choice((self._foreign, self._torn, self._misplaced))(arrival))
        return made

    def _foreign(self, arrival: Arrival) -> Arrival:
        """A message of another history at the same place."""
        at = arrival.payload.index(b'"epoch":"') + len('"epoch":"')
        epoch = b"00000000-0000-7000-8000-000000000000"
        return Arrival(
            arrival.position, arrival.payload[:at] + epoch + arrival.payload[at + len(epoch) :]
        )

    def _torn(self, arrival: Arrival) -> Arrival:
        """Half of a message."""
        return Arrival(arrival.position, arrival.payload[: len(arrival.payload) // 2])

    def _misplaced(self, arrival: Arrival) -> Arrival:
        """A sound message under the number of a later one."""
        return Arrival(arrival.position + self._chance.randrange(1, 4), arrival.payload)
