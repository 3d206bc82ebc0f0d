"""Background tasks end when they are told to, also one that has missed the first word."""

import asyncio

from booking.edge import ending
from booking.edge.ending import end


async def for_ever(missed: int, begun: asyncio.Event) -> None:
    """Goes on after as many cancellations as `missed`."""
    while True:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if not missed:
                raise
            missed -= 1


async def started(missed: int) -> "asyncio.Task[None]":
    begun = asyncio.Event()
    task = asyncio.create_task(for_ever(missed, begun), name=f"misses {missed}")
    await begun.wait()
    return task


async def test_one_word_ends_a_task_that_listens_and_two_one_that_missed_the_first():
    tasks = [await started(missed=0), await started(missed=1)]
    await end(*tasks)
    assert all(task.cancelled() for task in tasks)


async def test_with_a_single_word_the_second_would_go_on_for_ever():
    task = await started(missed=1)
    task.cancel()
    _, going_on = await asyncio.wait({task}, timeout=0.1)
    assert going_on == {task}
    await end(task)


async def test_one_that_never_ends_is_left_behind_by_name(monkeypatch, capsys):
    monkeypatch.setattr(ending, "DEADLINE_S", 0.1)
    monkeypatch.setattr(ending, "ASK_AGAIN_S", 0.02)
    task = await started(missed=1000)
    await end(task)
    assert "misses 1000" in capsys.readouterr().out
    monkeypatch.setattr(ending, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(ending, "DEADLINE_S", 30.0)
    await end(task)


async def test_what_has_ended_already_is_fine():
    task = await started(missed=0)
    await end(task)
    await end(task)
