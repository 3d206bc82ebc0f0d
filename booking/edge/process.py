"""How a process of ours runs and ends: uvloop, signals, its parent, its exit code.

SIGTERM and SIGINT set one event; `main` watches it and returns. A child of `booking up` ends with its
parent, also when that is killed. A misconfiguration is one sentence on standard error and exit code 2.
"""

import asyncio
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

from booking.edge.failures import misconfiguration_in

STOP_DEADLINE_S = 8.0
"""From the signal to the end; `booking up` promises 10 s, so whatever still runs then is cancelled."""

_PR_SET_PDEATHSIG = 1


def run(main: Callable[[asyncio.Event], Awaitable[int | None]]) -> int:
    """Runs a process until `main` returns, and returns its exit code.

    Args:
        main: gets the event that is set when the process should end; what it returns (None counts as 0)
            is the exit code.
    """
    if not end_with_parent():
        return 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_until_stopped(main))
    except KeyboardInterrupt:
        return 130
    except BaseException as error:
        if mistake := misconfiguration_in(error):
            sys.stderr.write(f"{mistake}\n")
            sys.stderr.flush()
            return 2
        raise
    finally:
        # The interpreter ends with a look for garbage through all that was imported: a tenth of a second.
        gc.freeze()


def end_with_parent() -> bool:
    """Asks the kernel for SIGTERM when the parent ends, if BOOKING_PARENT_PID names one.

    Returns:
        False when that parent is gone already: then this process should not start at all. Other systems
        than Linux cannot be asked; there the parent ends its children itself.
    """
    parent = os.environ.get("BOOKING_PARENT_PID", "")
    if not parent.isdigit():
        return True
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    return os.getppid() == int(parent)


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[int | None]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    work = asyncio.ensure_future(main(stop))
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=STOP_DEADLINE_S)
        if not work.done():
            sys.stderr.write(f"Not everything ended within {STOP_DEADLINE_S:.0f} s; cut off.\n")
            work.cancel()
            await asyncio.wait({work}, timeout=1.0)
            return 1
        return work.result() or 0
    finally:
        stopped.cancel()
        work.cancel()
