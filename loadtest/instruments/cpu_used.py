"""Whose CPU it was: what the processes of a system have used so far, by the part they play.

The load generator, the system and its servers share the cores, so a rate alone does not say what a request costs; CPU per request does.
Needs /proc; elsewhere nothing is told.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Used = dict[str, float]
"""CPU seconds by part."""

GENERATOR = "generator"


def used_by(pid: int, part: str) -> Callable[[], Used]:
    """A reading of what a process, its children and ourselves have used; a child is named by its program."""

    def read() -> Used:
        used = {GENERATOR: time.process_time()}
        for child, program, seconds in _tree(pid):
            name = part if child == pid else _part_of(child, program)
            used[name] = used.get(name, 0.0) + seconds
        return used

    return read


def per_answer_us(before: Used, after: Used, answers: int) -> dict[str, float]:
    """What each part used between two readings, in microseconds per answer; parts that did nothing are left out."""
    return {
        part: spent_us
        for part, seconds in after.items()
        if (spent_us := (seconds - before.get(part, 0.0)) / max(1, answers) * 1e6) >= 0.05
    }


def _tree(root: int) -> Iterator[tuple[int, str, float]]:
    """A process and all that descend from it, each with its program and its CPU seconds, with those of its children that have ended."""
    parents: dict[int, int] = {}
    programs: dict[int, str] = {}
    seconds: dict[int, float] = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            head, _, tail = (folder / "stat").read_text().rpartition(")")
        except OSError:
            continue  # it has just ended
        pid, fields = int(folder.name), tail.split()
        programs[pid] = head.partition("(")[2]
        parents[pid] = int(fields[1])
        seconds[pid] = sum(map(int, fields[11:15])) / ticks
    for pid, spent_s in seconds.items():
        ancestor = pid
        while ancestor not in (root, 0):
            ancestor = parents.get(ancestor, 0)
        if ancestor == root:
            yield pid, programs[pid], spent_s


def _part_of(pid: int, program: str) -> str:
    """The kernel's name of a program outlives its command line, which is what remains of a process that has just ended."""
    for part in ("postgres", "nats-server"):
        if program.startswith(part):
            return part
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "others"
    for part, module in (("relay", "booking.cli"), ("projector", "projector.cli")):
        if module in words:
            return part
    return "others"
