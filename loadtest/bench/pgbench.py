"""The yardstick: pgbench sells, one transaction per booking, on the same server and the same disk as the product.

Its scripts and schema are frozen files in `loadtest/baselines`, so that ratios of different days compare with the same thing. It may choose
the number of clients that suits it best, and it is written in C, which is fair to the yardstick.
"""

import re
import resource
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from msgspec import structs

from loadtest.bench.arm import choose_clients
from loadtest.bench.figures import Turn
from loadtest.bench.plan import Bench
from loadtest.bench.product import Product
from loadtest.failures import CannotRunError
from loadtest.instruments.cpu_used import GENERATOR, Used, per_answer_us
from loadtest.instruments.postgres_programs import PATIENCE_S, PLAIN, query, run

BASELINES = Path(__file__).parents[1] / "baselines"
SCHEMA = BASELINES / "book_schema.sql"
HOT_ROW = BASELINES / "book.sql"
MANY_ROWS = BASELINES / "book_many.sql"
MANY_SLOTS = BASELINES / "book_many_slots.sql"
DATABASE = "loadtest_yardstick"
CLIENTS = (2, 4, 8, 16, 32)
"""What the yardstick may choose from. Few clients suit fast disks, many suit slow ones."""

COUNT = "SELECT (SELECT sum(confirmed) FROM slot), (SELECT count(*) FROM booking)"

_TRANSACTIONS = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)
_PER_SECOND = re.compile(r"^tps = ([\d.]+) \(without initial connection time\)", re.MULTILINE)


class Yardstick:
    """pgbench in a database of its own on the server at `url`, whose login may create databases; `programs` holds psql and pgbench."""

    def __init__(
        self,
        programs: Path,
        url: str,
        *,
        script: Path = HOT_ROW,
        read_cpu: Callable[[], Used] = dict,
    ) -> None:
        """`read_cpu` tells what the server has used so far."""
        self.name = "pgbench" if script == HOT_ROW else "pgbench, 10,000 rows"
        self.clients = CLIENTS[0]
        self.transactions = 0
        """Of all turns so far."""
        self._script = script
        self._read_cpu = read_cpu
        self._programs = programs
        self._server_url = url
        self._url = urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))

    async def prepare(self) -> None:
        """Makes the database and its tables.

        Raises:
            CannotRunError: psql is missing or was refused.
        """
        await query(self._programs, self._server_url, f"CREATE DATABASE {DATABASE}")
        for file in (SCHEMA, *([MANY_SLOTS] if self._script == MANY_ROWS else [])):
            await run(
                self._programs / "psql", *PLAIN, f"--file={file}", self._url, timeout_s=PATIENCE_S
            )

    async def turn(self, seconds: float) -> Turn:
        """Sells for `seconds`, rounded to whole ones.

        Raises:
            CannotRunError: pgbench is missing, or said something else than it should.
        """
        before = self._used()
        said = await run(
            self._programs / "pgbench",
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={self.clients}",
            "--jobs=1",
            f"--time={max(1, round(seconds))}",
            f"--file={self._script}",
            self._url,
            timeout_s=seconds + PATIENCE_S,
        )
        after = self._used()
        turn = read_report(said, arm=self.name, clients=self.clients, seconds=seconds)
        self.transactions += turn.answered
        return structs.replace(turn, cpu_us=per_answer_us(before, after, turn.answered))

    def _used(self) -> Used:
        """What the server has used, and pgbench itself: it has ended, so it counts among our ended children."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        server = {part: s for part, s in self._read_cpu().items() if part == "postgres"}
        return server | {GENERATOR: ended.ru_utime + ended.ru_stime}

    async def broken(self) -> list[str]:
        """Whether it sold what it counts, in all turns together: a sentence where it did not."""
        units, bookings = map(int, await query(self._programs, self._url, COUNT))
        if units == bookings == self.transactions:
            return []
        counted = f"pgbench counts {self.transactions} transactions"
        return [f"{counted}, but sold {units} units in {bookings} bookings: it is broken."]


async def yardstick_beside(product: Product, bench: Bench, *, script: Path = HOT_ROW) -> Yardstick:
    """A yardstick on the product's own server, with the number of clients that suits it best.

    Raises:
        CannotRunError: as `prepare` and `turn`.
    """
    made = Yardstick(
        product.programs, product.database_url, script=script, read_cpu=product.read_cpu
    )
    await made.prepare()
    plan = bench.plan
    await choose_clients(
        made, CLIENTS, trials=plan.trials, seconds=plan.calibration_s, say=bench.say
    )
    return made


def read_report(said: str, *, arm: str, clients: int, seconds: float) -> Turn:
    """What pgbench printed, as numbers.

    Raises:
        CannotRunError: it is not the report of a finished run.
    """
    found = [pattern.search(said) for pattern in (_TRANSACTIONS, _FAILED, _LATENCY, _PER_SECOND)]
    numbers = [float(match[1]) for match in found if match]
    if len(numbers) != len(found):
        raise CannotRunError(f"pgbench did not report what it should: {said.strip()[-300:]!r}")
    transactions, failed, latency_ms, per_second = numbers
    return Turn(
        arm=arm,
        seconds=seconds,
        answered=int(transactions),
        astray=int(failed),
        per_second=per_second,
        clients=clients,
        more={"mean_ms": latency_ms},
    )
