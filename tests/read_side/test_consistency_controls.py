"""The consistency controls, sentence by sentence: what a reader may ask for, and what is promised."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from at_work import answering
from eventually import eventually
from test_reads import seen, token_of

from booking.edge import database
from booking.edge.database import open_pool
from booking.events.tokens import TokenCodec
from projector.api import wait
from projector.api.log_heads import LogHeads
from projector.api.metrics import ReadMetrics
from projector.log_reader import read_head

NOT_WAITING = {"Prefer": "wait=0"}


@contextlib.asynccontextmanager
async def still(
    database_url: str, nats_url: str, owner: asyncpg.Pool, *, age_s: float = 0, position: int = 0
) -> AsyncIterator[httpx.AsyncClient]:
    """A read model that stands where its projector left it, and the query API before it."""
    await owner.execute(
        "UPDATE read_model.checkpoint SET epoch = (SELECT epoch FROM published.head), "
        "position = $1, state = 'running', as_of = clock_timestamp() - $2 * interval '1 second'",
        position,
        age_s,
    )
    async with answering(database_url, nats_url) as api:
        yield api


async def problem(api, path: str, **headers: str) -> tuple[int, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await api.get(path, headers=names)
    kind = answer.json().get("type", "") if answer.content else ""
    return answer.status_code, kind.removeprefix("/problems/")


async def test_every_answer_says_how_old_it_is_whatever_its_status(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 1)
    answers = {
        200: await api.get(path),
        304: await api.get(path, headers={"If-None-Match": '"1"'}),
        404: await api.get(f"/v1/slots/{uuid4()}"),
        412: await api.get(
            path, headers={"Consistency-Token": await token_of(log, 2), **NOT_WAITING}
        ),
    }
    await log.slot()  # so that position 2 is none of the future
    answers[412] = await api.get(
        path, headers={"Consistency-Token": await token_of(log, 2), **NOT_WAITING}
    )
    for status, answer in answers.items():
        assert answer.status_code == status
        timing = dict(
            part.strip().split(";dur=") for part in answer.headers["server-timing"].split(",")
        )
        assert int(answer.headers["age"]) == int(float(timing["lag"]) // 1000)
        assert float(timing["wait"]) >= 0
        assert "consistency-token" in answer.headers
        assert answer.headers["vary"] == "Authorization, Consistency-Token, Prefer"
        if status != 304:
            assert answer.json()["position"] == 1
            assert answer.json()["as_of"].endswith("Z")


async def test_of_several_tokens_the_newest_counts(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 1)
    await log.hold(slot_id)
    old, new = await token_of(log, 1), await token_of(log, 2)
    for headers in (
        [("Consistency-Token", f"{old}, {new}"), ("Prefer", "wait=0")],
        [("Consistency-Token", new), ("Consistency-Token", old), ("Prefer", "wait=0")],
    ):
        answer = await api.get(path, headers=headers)
        assert answer.json()["type"] == "/problems/read-model-behind"
        assert answer.json()["required"] == 2
        assert answer.headers["consistency-token"] == new
    await stream.copy()
    answer = await api.get(path, headers={"Consistency-Token": f"{old},{new}"})
    assert answer.json()["position"] == 2


async def test_the_last_token_alone_is_always_enough(log, stream, api):
    slot_id = await log.slot()
    await log.hold(slot_id)
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 2)
    older = await api.get(path, headers={"Consistency-Token": await token_of(log, 1)})
    assert older.headers["consistency-token"] == await token_of(log, 2)  # what was applied
    await log.hold(slot_id)
    ahead = await token_of(log, 3)
    newer = await api.get(
        path, headers={"Consistency-Token": ahead, "Prefer": "wait=0, handling=lenient"}
    )
    assert newer.headers["consistency-token"] == ahead  # what was asked for


PREFERENCES = {
    "wait=3": "wait=3",
    "wait=99": "wait=10",
    f"wait={10**20}": "wait=10",
    "wait=0": "wait=0",
    'wait="2"': "wait=2",
    "wait=2, wait=5": "wait=2",
    "handling=lenient, wait=1": "wait=1, handling=lenient",
    "handling=strict": None,
    "return=minimal": None,
}
UNREADABLE = {
    "Prefer": ("wait=-1", "wait=1.5", "wait=soon", "wait"),
    "Cache-Control": ("max-age", "max-age=", "max-age=-1", "max-age=1.5"),
    "If-None-Match": ("7", '"7', "W/7"),
}


async def test_a_preference_is_capped_and_said_when_it_is_honoured(log, stream, api):
    for prefer, applied in PREFERENCES.items():
        answer = await api.get("/v1/resources", headers={"Prefer": prefer})
        assert answer.status_code == 200
        assert answer.headers.get("preference-applied") == applied
        assert answer.headers["consistency-level"] == "eventual"


async def test_a_condition_that_cannot_be_read_is_refused_not_dropped(log, stream, api):
    slot_id = await log.slot()
    for name, values in UNREADABLE.items():
        for value in values:
            answer = await api.get(f"/v1/slots/{slot_id}", headers={name: value})
            assert (answer.status_code, answer.json()["type"]) == (
                400,
                "/problems/invalid-header",
            ), value


async def test_a_second_is_waited_when_a_condition_was_given_and_nothing_said(
    log, database_url, fresh_nats, owner
):
    await log.slot()
    async with still(database_url, fresh_nats.url, owner) as api:
        behind = await api.get(
            "/v1/resources", headers={"Consistency-Token": await token_of(log, 1)}
        )
        assert behind.json()["type"] == "/problems/read-model-behind"
        assert behind.json()["waited_ms"] >= 1000
        assert int(behind.headers["retry-after"]) >= 1
        at_once = await api.get("/v1/resources", headers={"Prefer": "wait=10"})
        assert at_once.status_code == 200  # nothing was asked for that could be waited for


async def test_whoever_is_lenient_is_answered_all_the_same_and_told_so(
    log, database_url, fresh_nats, owner
):
    await log.slot()
    token = await token_of(log, 1)
    async with still(database_url, fresh_nats.url, owner, age_s=100) as api:
        for asked in (
            {"Consistency-Token": token},
            {"Cache-Control": "max-age=5"},
            {"Cache-Control": "no-cache"},
        ):
            answer = await api.get(
                "/v1/resources", headers=asked | {"Prefer": "wait=0, handling=lenient"}
            )
            assert answer.status_code == 200, asked
            assert answer.headers["consistency-level"] == "eventual"
            assert "handling=lenient" in answer.headers["preference-applied"]


async def test_the_age_is_compared_in_milliseconds_and_told_in_whole_seconds(
    database_url, fresh_nats, owner
):
    async with still(database_url, fresh_nats.url, owner, age_s=3600.2) as api:
        refused = await api.get(
            "/v1/resources", headers={"Cache-Control": "max-age=3600", **NOT_WAITING}
        )
        assert refused.json()["type"] == "/problems/too-stale"
        assert refused.json()["max_age_ms"] == 3_600_000
        assert refused.json()["age_ms"] > 3_600_000
        assert refused.headers["age"] == str(refused.json()["age_ms"] // 1000)
        assert refused.headers["consistency-level"] == "eventual"
        enough = await api.get(
            "/v1/resources", headers={"Cache-Control": "max-age=7200, max-age=9000"}
        )
        assert enough.status_code == 200
        assert enough.headers["consistency-level"] == "bounded"
        for_ever = await api.get("/v1/resources", headers={"Cache-Control": f"max-age={10**20}"})
        assert (for_ever.status_code, for_ever.headers["consistency-level"]) == (200, "bounded")


async def test_a_bounded_read_waits_until_the_view_has_heard_enough(
    database_url, fresh_nats, owner
):
    async with still(database_url, fresh_nats.url, owner, age_s=100) as api:
        assert await problem(api, "/v1/resources", Cache_Control="max-age=5", Prefer="wait=0") == (
            412,
            "too-stale",
        )
        reading = asyncio.create_task(
            api.get("/v1/resources", headers={"Cache-Control": "max-age=5", "Prefer": "wait=10"})
        )
        await api.get("/v1/resources")
        await owner.execute("UPDATE read_model.checkpoint SET as_of = clock_timestamp()")
        answer = await reading
        assert answer.status_code == 200
        assert answer.headers["consistency-level"] == "bounded"
        assert int(answer.headers["age"]) < 5


async def test_only_if_cached_does_not_wait(log, database_url, fresh_nats, owner):
    await log.slot()
    async with still(database_url, fresh_nats.url, owner, age_s=100) as api:
        for asked in (
            {"Consistency-Token": await token_of(log, 1), "Cache-Control": "only-if-cached"},
            {"Cache-Control": "only-if-cached, max-age=5"},
            {"Cache-Control": "only-if-cached, no-cache"},
        ):
            answer = await api.get("/v1/resources", headers=asked | {"Prefer": "wait=10"})
            assert answer.status_code == 504, asked
            assert answer.json()["type"] == "/problems/not-satisfied-here"
            assert "preference-applied" not in answer.headers
        met = await api.get(
            "/v1/resources", headers={"Cache-Control": "only-if-cached, max-age=1000"}
        )
        assert (met.status_code, met.headers["consistency-level"]) == (200, "bounded")


async def test_a_strong_read_asks_the_primary_and_sees_what_was_committed(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 1)
    for directive in ("no-cache", "max-age=0", f"max-age={0:020}", "max-age=0, max-age=5"):
        await log.hold(slot_id)  # committed, and nobody told the read side
        asked = {"Cache-Control": directive}
        behind = await api.get(path, headers=asked | NOT_WAITING)
        assert behind.json()["type"] == "/problems/read-model-behind"
        assert behind.json()["required"] == log.position
        reading = asyncio.create_task(api.get(path, headers=asked | {"Prefer": "wait=10"}))
        await stream.copy()
        answer = await reading
        assert answer.json()["position"] == log.position
        assert answer.headers["consistency-level"] == "strong"


async def test_without_the_primary_nothing_strong_is_promised(log, database_url, fresh_nats, owner):
    await log.slot()
    token = await token_of(log, 1)
    async with still(database_url, fresh_nats.url, owner) as api:
        await owner.execute("REVOKE SELECT ON published.head FROM query_reader")
        strong = await api.get("/v1/resources", headers={"Cache-Control": "no-cache"})
        assert strong.json()["type"] == "/problems/log-unreachable"
        assert strong.status_code == 503
        assert int(strong.headers["retry-after"]) >= 1
        # Whether the token is of the future cannot be told, so it is only behind.
        assert await problem(api, "/v1/resources", Consistency_Token=token, Prefer="wait=0") == (
            412,
            "read-model-behind",
        )
        assert await problem(api, "/v1/resources") == (200, "")


async def test_strong_reads_share_a_statement_that_begins_after_they_came(database_url, log):
    asked = []

    class Counted:
        """The real pool, and a note of every statement."""

        async def fetchrow(self, *arguments, **more):
            asked.append(log.position)
            return await pool.fetchrow(*arguments, **more)

    pool = await open_pool(
        database_url, role="query_reader", name="t", size_max=2, statement_timeout_ms=5000
    )
    async with pool:
        heads = LogHeads(Counted())
        seen_by_all = await asyncio.gather(*(heads.after_now() for _ in range(100)))
        assert len(asked) <= 2, "one under way, one for all who came meanwhile"
        for _ in range(10):
            under_way = asyncio.create_task(heads.after_now())
            await asyncio.sleep(0)  # polls: the statement is sent
            position = await log.append("SlotClosed", {})
            assert (await heads.after_now()).position >= position
            await under_way
        assert {head.position for head in seen_by_all} == {0}
        assert (await read_head(pool)).position == 10


async def test_other_directives_are_ignored(api):
    directives = "no-store, no-transform, min-fresh=9, max-stale, stale-if-error=3, private"
    answer = await api.get("/v1/resources", headers={"Cache-Control": directives})
    assert (answer.status_code, answer.headers["consistency-level"]) == (200, "eventual")


async def test_what_the_caller_has_is_compared_after_the_same_waiting(log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 1)
    await log.hold(slot_id)
    asked = {"Consistency-Token": await token_of(log, 2), "Prefer": "wait=10"}
    changed, same = (
        asyncio.create_task(api.get(path, headers=asked | {"If-None-Match": tag}))
        for tag in ('"1"', 'W/"2"')
    )
    await stream.copy()
    changed, same = await changed, await same
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["consistency-token"] == asked["Consistency-Token"]
    assert same.headers["consistency-level"] == "session"
    assert same.headers["preference-applied"] == "wait=10"
    assert "age" in same.headers


async def test_a_token_of_an_epoch_this_node_has_not_met_is_waited_for(
    log, database_url, fresh_nats, owner
):
    await log.slot()
    async with still(database_url, fresh_nats.url, owner, position=1) as api:
        known_later = await owner.fetchval("SELECT published.new_epoch(epoch) FROM published.head")
        secret = await owner.fetchval("SELECT secret FROM published.token_secret")
        token = TokenCodec(secret).encode(known_later, 1)
        assert await problem(api, "/v1/resources", Consistency_Token=token, Prefer="wait=0") == (
            412,
            "read-model-behind",
        )
        nobody_knows = TokenCodec(secret).encode(UUID(int=2**128 - 1), 1)
        answer = await problem(
            api, "/v1/resources", Consistency_Token=nobody_knows, Prefer="wait=0"
        )
        assert answer == (400, "token-from-the-future")


async def test_that_something_is_not_there_is_said_only_as_of_what_was_asked(log, stream, api):
    await log.slot()
    await stream.copy()
    await seen(api, "/v1/resources", 1)
    slot_id = await log.slot()
    asked = {"Consistency-Token": await token_of(log, 2)}
    refused = await api.get(f"/v1/slots/{slot_id}", headers=asked | NOT_WAITING)
    assert refused.status_code == 412  # and not 404
    reading = asyncio.create_task(
        api.get(f"/v1/slots/{slot_id}", headers=asked | {"Prefer": "wait=10"})
    )
    await stream.copy()
    assert (await reading).status_code == 200
    nowhere = await api.get(f"/v1/slots/{uuid4()}", headers=asked)
    assert (nowhere.status_code, nowhere.json()["position"]) == (404, 2)
    assert nowhere.headers["consistency-level"] == "session"
    assert {"age", "consistency-token", "server-timing"} <= nowhere.headers.keys()


async def test_conditions_add_up_and_the_strongest_is_named(log, database_url, fresh_nats, owner):
    await log.slot()
    token = await token_of(log, 1)
    async with still(database_url, fresh_nats.url, owner, age_s=100, position=1) as api:

        async def level(**headers: str) -> str:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            return (await api.get("/v1/resources", headers=names)).headers["consistency-level"]

        assert await level(Consistency_Token=token) == "session"
        assert await level(Consistency_Token=token, Cache_Control="max-age=1000") == "bounded"
        assert (
            await level(Consistency_Token=token, Cache_Control="max-age=1000, no-cache") == "strong"
        )
        # The token is met and the age is not; the head is met and the age is not.
        for directives in ("max-age=5", "max-age=5, no-cache"):
            answer = await problem(
                api,
                "/v1/resources",
                Consistency_Token=token,
                Cache_Control=directives,
                Prefer="wait=0",
            )
            assert answer == (412, "too-stale")


async def test_while_the_databases_time_is_unknown_no_age_is_claimed(
    database_url, fresh_nats, owner, monkeypatch
):
    async with still(database_url, fresh_nats.url, owner) as api:
        monkeypatch.setattr(database, "CLOCK_GOOD_FOR_S", -1.0)
        plain = await api.get("/v1/resources")
        assert plain.status_code == 200
        assert "age" not in plain.headers
        for directive in ("max-age=1000", "no-cache"):
            assert await problem(api, "/v1/resources", Cache_Control=directive) == (
                503,
                "log-unreachable",
            )
        assert await problem(api, "/v1/activity?resource_id=" + str(uuid4())) == (
            503,
            "log-unreachable",  # nobody knows what `to` would be
        )


@pytest.fixture
def three_may_wait(monkeypatch):
    monkeypatch.setitem(wait.Reader.__init__.__kwdefaults__, "waiting_max", 3)


async def test_how_many_may_wait_is_bounded(three_may_wait, log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 1)
    asked = {"Consistency-Token": await token_of(log, 2), "Prefer": "wait=10"}
    reads = [asyncio.create_task(api.get(path, headers=asked)) for _ in range(10)]
    await eventually(lambda: sum(read.done() for read in reads) == 7)
    refused = [read.result() for read in reads if read.done()]
    assert {answer.json()["type"] for answer in refused} == {"/problems/queue-full"}
    assert {answer.status_code for answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert (await api.get(path)).status_code == 200, "whoever need not wait is not refused"
    await log.hold(slot_id)
    await stream.copy()
    answered = [answer for answer in await asyncio.gather(*reads) if answer.status_code == 200]
    assert [answer.json()["position"] for answer in answered] == [2, 2, 2]


@pytest.fixture
def metrics_made(monkeypatch) -> list[ReadMetrics]:
    """The metrics of nodes opened from now on."""
    made: list[ReadMetrics] = []

    class Kept(ReadMetrics):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(wait, "ReadMetrics", Kept)
    return made


async def test_waits_are_counted_by_their_outcome(metrics_made, log, stream, api):
    slot_id = await log.slot()
    await stream.copy()
    path = f"/v1/slots/{slot_id}"
    await seen(api, path, 1)
    [metrics] = metrics_made

    def count(outcome: str) -> float:
        name = "queries_conditional_reads_total"
        return metrics.registry.get_sample_value(name, {"outcome": outcome}) or 0

    await api.get(path, headers={"Consistency-Token": await token_of(log, 1)})
    await log.hold(slot_id)
    asked = {"Consistency-Token": await token_of(log, 2)}
    await api.get(path, headers=asked | NOT_WAITING)
    await api.get(path, headers=asked | {"Prefer": "wait=0, handling=lenient"})
    await api.get(path, headers=asked | {"Cache-Control": "only-if-cached"})
    reading = asyncio.create_task(api.get(path, headers=asked | {"Prefer": "wait=10"}))
    await eventually(lambda: metrics.registry.get_sample_value("queries_waiting") == 1)
    await stream.copy()
    await reading
    assert metrics.registry.get_sample_value("queries_waiting") == 0
    for outcome in (
        *("met_at_once", "met_after_waiting", "lenient"),
        *("read-model-behind", "not-satisfied-here"),
    ):
        assert count(outcome) == 1, outcome
    ages = metrics.registry.get_sample_value(
        "queries_answer_age_seconds_count", {"level": "session"}
    )
    assert ages == 2
