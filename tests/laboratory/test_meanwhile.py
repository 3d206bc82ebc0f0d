"""What goes on beside the people ends with them, and does not die unnoticed."""

import asyncio

import pytest

from loadtest.workloads.meanwhile import meanwhile


async def test_a_fault_that_ends_while_people_come_is_told_when_they_are_gone():
    died, gone = asyncio.Event(), []

    async def fault() -> None:
        died.set()
        raise ProcessLookupError("its victim is gone")

    with pytest.raises(ProcessLookupError):  # noqa: PT012 -- the people are what goes on
        async with meanwhile(fault()):
            await died.wait()
            gone.append("the last of them")
    assert gone == ["the last of them"]


async def test_what_people_cannot_do_for_want_of_it_does_not_hide_what_ended():
    died = asyncio.Event()

    async def relay() -> None:
        died.set()
        raise ProcessLookupError("it died")

    with pytest.raises(ProcessLookupError) as told:  # noqa: PT012 -- the people are what goes on
        async with meanwhile(relay()):
            await died.wait()
            raise TimeoutError("nothing arrives any more")
    assert isinstance(told.value.__context__, TimeoutError)


async def test_what_still_goes_on_when_people_are_gone_is_ended_and_undone():
    begun, undone = asyncio.Event(), []

    async def fault() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            undone.append("healed")

    async with meanwhile(fault()):
        await begun.wait()
    assert undone == ["healed"]


async def test_what_was_done_before_people_are_gone_is_no_failure():
    done = asyncio.Event()

    async def gift() -> None:
        done.set()

    async with meanwhile(gift()):
        await done.wait()
