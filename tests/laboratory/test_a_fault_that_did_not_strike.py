"""A process that was to die of an injected fault and died of something else is no evidence: that it did is told, not counted."""

import asyncio
import os
import signal

import pytest

from loadtest.failures import CannotRunError
from loadtest.faults import Faults
from loadtest.scenarios import double_booking_by_retry, duplicates_and_disorder
from loadtest.system.part import Part


@pytest.fixture(params=["api", "relay"])
async def mortal(request, tmp_path):
    """A process that ends by itself: there is nothing it could work with."""
    part = Part(request.param, tmp_path / "nothing", settings={}, log_file=tmp_path / "log")
    await part.start(until_ready=False)
    yield part
    await part.stop()


async def test_what_ended_by_itself_was_not_struck_and_its_log_is_named(mortal, tmp_path):
    with pytest.raises(CannotRunError) as told:
        await mortal.struck()
    assert f"The {mortal.kind} ended with exit code 2, and not by the fault" in str(told.value)
    assert str(tmp_path / "log") in str(told.value)


async def test_what_was_killed_was_struck(mortal):
    os.kill(mortal.pid, signal.SIGKILL)
    await mortal.struck()


@pytest.mark.parametrize("mortal", ["api"], indirect=True)
async def test_an_api_that_died_of_something_else_is_no_answer_lost(mortal):
    dead = asyncio.Event()
    async with Faults() as faults:
        with pytest.raises(CannotRunError, match="not by the fault"):
            await double_booking_by_retry._dies(mortal, faults, dead, times=1)
    assert (faults.marks, dead.is_set()) == ([], False)


@pytest.mark.parametrize("mortal", ["relay"], indirect=True)
async def test_a_relay_that_died_of_something_else_is_not_counted(mortal):
    deaths_s: list[float] = []
    with pytest.raises(CannotRunError, match="not by the fault"):
        await duplicates_and_disorder._dies_and_comes_back(mortal, deaths_s)
    assert deaths_s == []
