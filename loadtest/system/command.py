"""An operator's command of the system under test, run to its end in a process of its own, beside whatever else happens.

It finds the servers by the run file of the data directory, like a part. It does not outlive whoever waits for it.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtest.failures import CannotRunError
from loadtest.system.booking_up import environment
from loadtest.system.child_processes import end

STOP_DEADLINE_S = 8.0


async def run_command(
    words: Sequence[str],
    data_dir: Path,
    *,
    settings: Mapping[str, str],
    log_file: Path,
    within_s: float,
) -> bytes:
    """Runs `booking …` or `projector …` and returns what it printed.

    Args:
        words: the command as it is typed.
        data_dir: of the running system.
        settings: environment variables, as for the system itself.
        log_file: where its standard error goes.
        within_s: after that it is asked to end.

    Raises:
        CannotRunError: it ended with another exit code than 0, or did not end in time.
    """
    package, *arguments = words
    said = " ".join(words)
    with log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"{package}.cli", *arguments),
            env=environment(os.environ, {**settings, "BOOKING_DATA_DIR": str(data_dir)}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(within_s):
            printed, _ = await process.communicate()
    except TimeoutError:
        raise CannotRunError(
            f"`{said}` did not end within {within_s:.0f} s: see {log_file}."
        ) from None
    finally:
        await end(process, within_s=STOP_DEADLINE_S)
    if process.returncode != 0:
        raise CannotRunError(f"`{said}` ended with exit code {process.returncode}: see {log_file}.")
    return printed
