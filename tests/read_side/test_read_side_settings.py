"""A mistake in setting up the read side is one sentence with its remedy."""

import asyncio

import pytest

from booking.edge.failures import Misconfigured
from projector.app import open_part
from projector.guards import GUARDS, Guard
from projector.process import run
from projector.settings import Settings, load_settings

COMPLETE = {
    "BOOKING_DATABASE_URL": "postgresql://write/booking",
    "BOOKING_NATS_URL": "nats://nats",
    "BOOKING_DATA_DIR": "/nonexistent",
}


def test_what_is_not_set_is_inherited_from_the_write_side():
    settings = load_settings(COMPLETE | {"PROJECTOR_DATABASE_URL": "postgresql://read/view"})
    assert settings.database_url == "postgresql://read/view"
    assert settings.log_database_url == "postgresql://write/booking"
    assert settings.nats_url == "nats://nats"
    assert (settings.port, settings.environment) == (8001, "production")


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"BOOKING_DATABASE_URL": ""}, "PROJECTOR_DATABASE_URL"),
        ({"BOOKING_NATS_URL": ""}, "PROJECTOR_NATS_URL"),
        ({"BOOKING_NATS_URL": "nats"}, "PROJECTOR_NATS_URL"),
        ({"PROJECTOR_PORT": "many"}, "PROJECTOR_PORT"),
        ({"PROJECTOR_INJECTED_LAG_MS": "-1"}, "PROJECTOR_INJECTED_LAG_MS"),
        ({"PROJECTOR_INJECTED_LAG_MS": "50"}, "BOOKING_ENVIRONMENT=laboratory"),
        ({"PROJECTOR_SYNC": "guessing"}, "PROJECTOR_SYNC"),
        ({"PROJECTOR_POLL_MS": "0"}, "PROJECTOR_POLL_MS"),
        ({"PROJECTOR_GUARD": "luck"}, "PROJECTOR_GUARD=luck is no guard"),
        ({"PROJECTOR_GUARD": "no_watermark"}, "BOOKING_ENVIRONMENT=laboratory"),
        ({"BOOKING_ENVIRONMENT": "staging"}, "BOOKING_ENVIRONMENT"),
    ],
)
def test_a_mistake_names_its_variable(environ, named):
    with pytest.raises(Misconfigured, match=named):
        load_settings(COMPLETE | environ)


def test_lag_is_for_the_laboratory_only():
    laboratory = {"BOOKING_ENVIRONMENT": "laboratory", "PROJECTOR_INJECTED_LAG_MS": "50"}
    assert load_settings(COMPLETE | laboratory).injected_lag_ms == 50


def test_going_without_a_guard_is_for_the_laboratory_only():
    laboratory = {"BOOKING_ENVIRONMENT": "laboratory", "PROJECTOR_GUARD": "no_watermark"}
    assert GUARDS[load_settings(COMPLETE).guard] == Guard()
    assert not GUARDS[load_settings(COMPLETE | laboratory).guard].watermark


def test_who_polls_needs_no_nats():
    settings = load_settings(COMPLETE | {"BOOKING_NATS_URL": "", "PROJECTOR_SYNC": "polling"})
    assert (settings.sync, settings.poll_ms, settings.nats_url) == ("polling", 50, "")


async def test_a_database_without_its_schema_is_refused(migrated, empty_database_url, nats_url):
    settings = Settings(
        database_url=empty_database_url, log_database_url=empty_database_url, nats_url=nats_url
    )
    with pytest.raises(Misconfigured, match="booking migrate"):
        async with open_part(settings):
            pass
    with pytest.raises(Misconfigured, match="booking migrate"):
        await run(settings, asyncio.Event())


async def test_a_database_of_an_experiment_is_for_the_laboratory_only(
    database, database_url, nats_url
):
    await database.execute("UPDATE booking.log_head SET last_line_removed = true")
    urls = {"database_url": database_url, "log_database_url": database_url, "nats_url": nats_url}
    with pytest.raises(Misconfigured, match="experiment"):
        async with open_part(Settings(**urls)):
            pass
    async with open_part(Settings(**urls, environment="laboratory")) as part:
        assert part.name == "queries"
