"""Faults: what went wrong although nobody's request was wrong. Each says whether it happened.

A rejection is an answer and lives in `rejections`; a fault is raised. Driver errors are translated
into these once, in `attempts`, and keep their cause.
"""

from typing import Literal

Outcome = Literal["did-not-happen", "may-have-happened"]


class Fault(Exception):
    """What failed, and whether the command may have happened all the same."""

    outcome: Outcome = "did-not-happen"


class QueueFull(Fault):
    """As many commands wait as may wait; refused at once, so that waiting stays short."""


class Draining(Fault):
    """The process is going away and takes no new commands."""


class NotDecided(Fault):
    """Not decided before its deadline, or contended too often in a row. It did not happen."""


class DatabaseUnavailable(Fault):
    """The write database could not be reached, or the connection was lost in the middle."""

    def __init__(self, outcome: Outcome) -> None:
        happened = outcome.replace("-", " ")
        super().__init__(f"The write database cannot be reached; the command {happened}.")
        self.outcome = outcome


class CommandFailed(Fault):
    """The deciding call raised for this command alone. `constraint` names the rule it ran into."""

    def __init__(
        self, sentence: str, *, command_id: str, outcome: Outcome, constraint: str | None
    ) -> None:
        super().__init__(sentence)
        self.command_id = command_id
        self.outcome = outcome
        self.constraint = constraint
