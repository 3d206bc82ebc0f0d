"""The yardstick is real, fair and always the same."""

import hashlib

import pytest

from booking.embedded.postgres import Postgres
from loadtest.bench.pgbench import DATABASE, SCHEMA, SCRIPT, Yardstick, query, read_report
from loadtest.failures import CannotRunError

FROZEN = {
    SCRIPT: "c99ab7af00458be2f25eda48203b54557168dcec2b2f99b8abe09af87107451c",
    SCHEMA: "39ceaa2d372362f1542c19e1a99521b8dcc4ee48d7b0d92da29a0873ea8eed69",
}


@pytest.fixture
async def yardstick(postgres: Postgres):
    made = Yardstick(postgres.programs, postgres.url("postgres"))
    await made.prepare()
    yield made
    await query(
        postgres.programs, postgres.url("postgres"), f"DROP DATABASE {DATABASE} WITH (FORCE)"
    )


async def test_pgbench_sells_one_booking_per_transaction_and_its_books_agree(yardstick):
    first = await yardstick.run(clients=4, seconds=1)
    second = await yardstick.run(clients=1, seconds=1)
    assert first.clients == 4
    assert first.failed == 0
    assert first.per_second > 0
    assert first.latency_ms > 0
    books = await yardstick.books()
    assert books.confirmed == books.bookings == first.transactions + second.transactions


async def test_the_yardstick_refuses_when_sold_out_like_the_product(yardstick, postgres):
    url = postgres.url(DATABASE)
    await query(postgres.programs, url, "UPDATE slot SET capacity = 10")
    await yardstick.run(clients=4, seconds=1)
    books = await yardstick.books()
    assert books.confirmed == books.bookings == 10


@pytest.mark.parametrize("file", FROZEN, ids=lambda file: file.name)
def test_the_yardstick_is_frozen(file):
    """Ratios of different days compare with the same thing: to change the yardstick is to begin a new one."""
    assert hashlib.sha256(file.read_bytes()).hexdigest() == FROZEN[file]


def test_a_report_is_read_to_the_last_figure():
    said = """\
transaction type: /somewhere/book.sql
scaling factor: 1
query mode: prepared
number of clients: 8
number of threads: 1
maximum number of tries: 1
duration: 5 s
number of transactions actually processed: 14251
number of failed transactions: 3 (0.021%)
latency average = 2.801 ms
initial connection time = 9.104 ms
tps = 2853.123456 (without initial connection time)
"""
    read = read_report(said, clients=8)
    assert (read.clients, read.transactions, read.failed) == (8, 14251, 3)
    assert (read.latency_ms, read.per_second) == (2.801, 2853.123456)


def test_a_report_that_is_cut_off_is_not_believed():
    with pytest.raises(CannotRunError, match="did not report"):
        read_report("pgbench: error: connection to server was lost", clients=8)


async def test_a_refused_statement_is_one_sentence(postgres):
    with pytest.raises(CannotRunError, match=r"psql failed: .*no_such_table"):
        await query(
            postgres.programs, postgres.url("postgres"), "SELECT count(*) FROM no_such_table"
        )


async def test_missing_programs_are_told_with_the_remedy(tmp_path):
    with pytest.raises(CannotRunError, match="BOOKING_PG_BIN"):
        await Yardstick(tmp_path, "postgresql://nobody@/nothing").prepare()
