"""The yardsticks are real, fair and always the same."""

import hashlib

import pytest

from booking.embedded.postgres import Postgres
from loadtest.bench.arm import choose_clients
from loadtest.bench.figures import Turn
from loadtest.bench.pgbench import (
    DATABASE,
    HOT_ROW,
    MANY_ROWS,
    MANY_SLOTS,
    SCHEMA,
    Yardstick,
    read_report,
)
from loadtest.bench.plain import plain_litestar
from loadtest.bench.plan import Plan
from loadtest.failures import CannotRunError
from loadtest.instruments.postgres_programs import query

FROZEN = {
    HOT_ROW: "c99ab7af00458be2f25eda48203b54557168dcec2b2f99b8abe09af87107451c",
    SCHEMA: "39ceaa2d372362f1542c19e1a99521b8dcc4ee48d7b0d92da29a0873ea8eed69",
    MANY_ROWS: "0a8958b0a94eabbb6ff74cc97a170d58b064e059a7df728898e9fdeca169f834",
    MANY_SLOTS: "ea0a41ea52d63fbfbea6ee3e6fcf4f8e47bdebdd3414adafcf700763b657f5e3",
}


@pytest.fixture(params=[HOT_ROW, MANY_ROWS], ids=lambda file: file.stem)
async def yardstick(postgres: Postgres, request):
    made = Yardstick(postgres.programs, postgres.url("postgres"), script=request.param)
    await made.prepare()
    yield made
    await query(
        postgres.programs, postgres.url("postgres"), f"DROP DATABASE {DATABASE} WITH (FORCE)"
    )


async def test_pgbench_sells_one_booking_per_transaction_and_its_books_agree(yardstick):
    yardstick.clients = 4
    turn = await yardstick.turn(1)
    assert turn.clients == 4
    assert turn.astray == 0
    assert turn.answered == yardstick.transactions > 0
    assert turn.more["mean_ms"] > 0
    assert await yardstick.broken() == []


async def test_a_yardstick_that_did_not_sell_what_it_counts_is_broken(yardstick):
    yardstick.transactions = 1
    assert "it is broken" in (await yardstick.broken())[0]


async def test_the_yardstick_refuses_when_sold_out_like_the_product(yardstick, postgres):
    url = postgres.url(DATABASE)
    await query(
        postgres.programs, url, "UPDATE slot SET capacity = CASE slot_id WHEN 1 THEN 10 ELSE 0 END"
    )
    await yardstick.turn(1)
    sold = await query(
        postgres.programs, url, "SELECT sum(confirmed), (SELECT count(*) FROM booking) FROM slot"
    )
    assert sold[0] == sold[1]
    assert int(sold[0]) <= 10


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
    read = read_report(said, arm="pgbench", clients=8, seconds=5)
    assert (read.clients, read.answered, read.astray) == (8, 14251, 3)
    assert (read.more["mean_ms"], read.per_second) == (2.801, 2853.123456)


def test_a_report_that_is_cut_off_is_not_believed():
    with pytest.raises(CannotRunError, match="did not report"):
        read_report(
            "pgbench: error: connection to server was lost", arm="pgbench", clients=8, seconds=5
        )


async def test_a_refused_statement_is_one_sentence(postgres):
    with pytest.raises(CannotRunError, match=r"psql failed: .*no_such_table"):
        await query(
            postgres.programs, postgres.url("postgres"), "SELECT count(*) FROM no_such_table"
        )


async def test_missing_programs_are_told_with_the_remedy(tmp_path):
    with pytest.raises(CannotRunError, match="BOOKING_PG_BIN"):
        await Yardstick(tmp_path, "postgresql://nobody@/nothing").prepare()


class Shop:
    """An arm that sells as much as it is told, one turn after the other with so many clients."""

    name, clients = "shop", 1

    def __init__(self, per_second):
        self.per_second = {clients: iter(rates) for clients, rates in per_second.items()}
        self.turns = []

    async def turn(self, seconds):
        self.turns.append(self.clients)
        return Turn(
            arm=self.name,
            seconds=seconds,
            answered=1,
            astray=0,
            per_second=next(self.per_second[self.clients]),
            clients=self.clients,
        )


async def test_whoever_is_compared_has_the_clients_with_which_it_does_most():
    shop, said = Shop({128: [900.0], 256: [1200.0], 512: [1100.0]}), []
    tried = await choose_clients(shop, (128, 256, 512), trials=1, seconds=2, say=said.append)
    assert shop.clients == 256
    assert tried == {128: 900, 256: 1200, 512: 1100}
    assert said[0] == "shop chooses among 128, 256, 512 clients, which takes 6 s"
    assert said[2] == "shop with 256 clients: 1200/s (1200 to 1200)"


async def test_one_trial_that_noise_met_does_not_choose():
    # By their first trials 512 were best, by the best of all 128.
    shop = Shop(
        {128: [900.0, 9000.0, 900.0], 256: [100.0, 1200.0, 1250.0], 512: [1300.0, 1100.0, 1000.0]}
    )
    tried = await choose_clients(shop, (128, 256, 512), trials=3, seconds=1, say=print)
    assert tried == {128: 900, 256: 1200, 512: 1100}
    assert shop.clients == 256


async def test_the_numbers_of_clients_take_turns_each_round_beginning_with_another():
    shop = Shop({number: [1.0] * 3 for number in (2, 4, 8)})
    await choose_clients(shop, (2, 4, 8), trials=3, seconds=1, say=print)
    assert shop.turns == [2, 4, 8, 4, 8, 2, 8, 2, 4]


def test_nothing_is_tried_more_often_than_it_is_measured():
    assert [Plan(rounds=rounds).trials for rounds in (1, 2, 3, 5)] == [1, 2, 3, 3]


async def test_where_the_number_of_clients_is_given_none_is_tried():
    shop = Shop({16: [1.0]})
    assert await choose_clients(shop, (16,), trials=3, seconds=1, say=print) == {}
    assert (shop.clients, shop.turns) == (16, [])


async def test_the_plain_application_answers_both_arms_with_bodies_like_the_products():
    async with plain_litestar() as plain:
        turns = [
            await plain.post(connections=4).turn(0.2),
            await plain.get(connections=4).turn(0.2),
        ]
    assert [turn.arm for turn in turns] == ["plain POST", "plain GET"]
    assert all(turn.answered > 0 and turn.astray == 0 for turn in turns)
