"""`projector status` against a real pipeline: what it tells, and what it says when something is wrong."""

import asyncio
import io
import json
import os
import signal
import sys
from datetime import UTC, datetime

import nats
import pytest
from eventually import eventually
from rich.console import Console
from running import Up, running
from sale import book, open_slot

from booking.embedded.nats_server import NatsServer
from booking.events.subjects import ADVISORIES, STREAM
from projector.status.consistency import Consistency, LogSeen, StreamSeen
from projector.status.measures import read_measures
from projector.status.pipeline import Pipeline
from projector.status.show import ctrl_c
from projector.status.table import table


async def status(up: Up, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "projector.cli", "status", "--data-dir", str(up.data_dir)),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        output, error = await process.communicate()
    return process.returncode, output.decode(), error.decode()


async def told(up: Up) -> dict:
    return json.loads((await status(up, "--json"))[1])


@pytest.fixture(scope="module")
async def nats_elsewhere(tmp_path_factory):
    """A NATS server that is not ours: `booking up` is told its address."""
    async with NatsServer(tmp_path_factory.mktemp("nats") / "store") as server:
        yield server


@pytest.fixture(scope="module")
async def up(tmp_path_factory, nats_elsewhere):
    environ = {
        "BOOKING_NATS_URL": nats_elsewhere.url,
        "BOOKING_NATS_MONITORING_URL": nats_elsewhere.monitoring_url,
    }
    async with running(tmp_path_factory.mktemp("status") / "data", environ=environ) as up:
        yield up


async def test_every_stage_of_the_pipeline_is_told_at_one_look_also_with_a_nats_of_ones_own(up):
    async with up.client() as client:
        slot_id = await open_slot(client, capacity=5)
        for _ in range(3):
            await book(client, slot_id)

    def everybody_is_there(told: dict) -> bool:
        readers = [*told["projectors"], *told["nodes"]]
        return [r.get("position", r.get("applied")) for r in readers] == [5, 5]

    seen = await eventually(lambda: _when(told(up), everybody_is_there), within_s=15)
    assert seen["log"]["position"] == 5
    stream = seen["jetstream"]["stream"]
    assert (stream["first_seq"], stream["last_seq"], stream["messages"]) == (1, 5, 5)
    assert stream["holes"] == 0
    assert stream["consumers"][0]["delivered_seq"] == 5
    assert seen["measures"]["relay_position"] == 5
    assert seen["measures"]["relay_lag_events"] == 0
    assert seen["measures"]["commands_per_batch"] >= 1
    assert seen["untold"] == []
    assert seen["troubles"] == []


async def test_a_table_for_people_names_every_stage(up):
    code, table, _ = await status(up)
    assert code == 0
    for stage in ("log", "api", "relay", "stream", "consumer", "projector", "queries"):
        assert stage in table


async def test_watched_where_no_terminal_is_it_goes_on_in_plain_lines_until_it_is_stopped(up):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "projector.cli", "status", "--data-dir", str(up.data_dir)),
        *("--watch", "--every", "0.2", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        looks = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert [look["log"]["position"] for look in looks] == [looks[0]["log"]["position"]] * 2


class PressedAsItGoes:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_heard_also_where_an_exception_would_be_lost():
    with ctrl_c() as pressed_within:
        assert not pressed_within(0)
        PressedAsItGoes()
        assert pressed_within(5)


async def test_what_the_server_says_about_the_stream_is_kept(up, nats_elsewhere):
    client = await nats.connect(nats_elsewhere.url)
    jetstream = client.jetstream()
    kept = (await eventually(lambda: _info(jetstream, ADVISORIES), within_s=10)).state.messages
    await jetstream.add_consumer(STREAM, durable_name="passing_by")
    await jetstream.delete_consumer(STREAM, "passing_by")
    await eventually(lambda: _when(_info(jetstream, ADVISORIES), lambda i: i.state.messages > kept))
    await client.close()
    assert (await told(up))["jetstream"]["advisories"] > kept


async def test_a_projector_that_is_paused_is_named_and_the_exit_code_says_so(up):
    (pid,) = [pid for pid, command in up.family().items() if "projector.cli run" in command]
    os.kill(pid, signal.SIGSTOP)
    try:

        def it_is_named(told: dict) -> bool:
            return "has heard nothing for" in " ".join(told["troubles"])

        await eventually(lambda: _when(told(up), it_is_named), within_s=30)
        assert (await status(up))[0] == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    await eventually(lambda: _when(told(up), lambda t: not t["troubles"]), within_s=15)


async def test_a_relay_that_is_paused_is_named_and_so_is_the_stream_that_stays_behind_the_log(up):
    (pid,) = [pid for pid, command in up.family().items() if "booking.cli relay" in command]
    os.kill(pid, signal.SIGSTOP)
    try:
        async with up.client() as client:
            await open_slot(client, capacity=5)
        code, shown, _ = await status(up)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert code == 1
    assert "! The relay does not answer" in shown
    assert "! The stream has lacked 2 events of the log" in shown
    (relay,) = [line for line in shown.splitlines() if line.startswith("relay")]
    assert "does not answer" in relay
    await eventually(lambda: _when(told(up), lambda t: not t["troubles"]), within_s=15)


async def test_a_stream_that_has_caught_up_by_the_next_look_needs_no_hand(up):
    async with up.client() as client:
        booking = asyncio.create_task(_book_on_and_on(client))
        try:
            seen = [await status(up) for _ in range(3)]
        finally:
            booking.cancel()
    assert [code for code, *_ in seen] == [0, 0, 0], seen


async def test_a_source_that_does_not_answer_needs_a_hand(up):
    for source in ("--nats-monitoring-url", "--metrics-url"):
        code, table, _ = await status(up, source, "http://127.0.0.1:1")
        assert code == 1
        assert "! http://127.0.0.1:1" in table
        assert "does not answer" in table


async def test_a_source_whose_address_nobody_knows_is_unknown_and_no_trouble(up):
    code, table, _ = await status(up, "--url", up.url)
    assert code == 0
    assert "? Relay and batches are not looked at: give --metrics-url." in table


def test_what_two_listeners_tell_of_one_read_model_and_one_stream_is_not_counted_twice():
    page = b"projector_drift_rows 9.0\nbooking_relay_stream_position 5.0\n"
    page += b"projector_events_applied_total 6.0\nprojector_batches_applied_total 2.0\n"
    measures = read_measures(["http://one", "http://two"], lambda _: page)
    assert (measures.drift, measures.relay_position) == (9, 5)
    assert measures.events_per_batch == 3


def test_a_relay_that_hangs_is_as_far_behind_as_the_log_has_gone_on():
    page = b"booking_relay_stream_position 5.0\nbooking_relay_lag_events 0.0\n"
    now = datetime.now(UTC)
    seen = Consistency(
        epoch=None,
        log=LogSeen(position=13, at=now),
        stream=StreamSeen(last_seq=None),
        projectors=[],
        nodes=[],
    )
    pipeline = Pipeline(
        consistency=seen,
        jetstream=None,
        measures=read_measures(["http://one"], lambda _: page),
        silent=[],
        untold=[],
    )
    shown = Console(file=io.StringIO(), width=120)
    shown.print(table(pipeline))
    (relay,) = [line for line in shown.file.getvalue().splitlines() if line.startswith("relay")]
    assert relay.split()[1:3] == ["5", "8"]


async def test_without_queries_to_ask_it_says_what_to_start(up):
    code, _, error = await status(up, "--url", "http://127.0.0.1:1")
    assert (code, error.count("\n")) == (2, 1)
    assert "is it running there?" in error


async def _book_on_and_on(client):
    while True:
        await book(client, await open_slot(client, capacity=1))


async def _when(looking, condition):
    seen = await looking
    return seen if seen is not None and condition(seen) else None


async def _info(jetstream, stream):
    try:
        return await jetstream.stream_info(stream)
    except nats.js.errors.NotFoundError:
        return None
