"""The settings of the read side's processes: one struct, filled from the environment.

What a PROJECTOR_ variable leaves out is taken from its BOOKING_ counterpart, then from the `run.json`
of a running `booking up`. A mistake names its variable.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from booking.edge.failures import Misconfigured
from booking.edge.origins import refuse_no_origin
from booking.edge.settings import load, read_run_file
from projector.guards import THE_PRODUCTS, refuse_unknown

Environment = Literal["production", "development", "laboratory"]
Sync = Literal["events", "polling"]
Port = Annotated[int, Meta(ge=0, le=65535)]

DATA_DIR = ".booking"

NAMES = {
    "database_url": "PROJECTOR_DATABASE_URL",
    "log_database_url": "PROJECTOR_LOG_DATABASE_URL",
    "nats_url": "PROJECTOR_NATS_URL",
    "nats_monitoring_url": "PROJECTOR_NATS_MONITORING_URL",
    "host": "PROJECTOR_HOST",
    "port": "PROJECTOR_PORT",
    "environment": "BOOKING_ENVIRONMENT",
    "sync": "PROJECTOR_SYNC",
    "poll_ms": "PROJECTOR_POLL_MS",
    "guard": "PROJECTOR_GUARD",
    "injected_lag_ms": "PROJECTOR_INJECTED_LAG_MS",
    "metrics_host": "PROJECTOR_METRICS_HOST",
    "metrics_port": "PROJECTOR_METRICS_PORT",
    "allowed_origins": "BOOKING_ALLOWED_ORIGINS",
    "data_dir": "BOOKING_DATA_DIR",
}

# Each field: where else it may come from, in this order.
INHERITED = {
    "database_url": "BOOKING_DATABASE_URL",
    "log_database_url": "BOOKING_DATABASE_URL",
    "nats_url": "BOOKING_NATS_URL",
    "nats_monitoring_url": "BOOKING_NATS_MONITORING_URL",
}


class Settings(Struct, frozen=True, kw_only=True):
    """What a process of the read side is told at its start."""

    database_url: str = ""
    """Where the read model lives, schema `read_model`."""
    log_database_url: str = ""
    """The write side's database, of which only `published.*` is read."""
    nats_url: str = ""
    """May be missing with `sync` polling."""
    nats_monitoring_url: str = ""
    host: str = "127.0.0.1"
    port: Port = 8001
    """0: any free one."""
    environment: Environment = "production"
    sync: Sync = "events"
    """How the read model stays in step with the log, and query nodes with the read model: by what
    NATS tells them, or by looking every `poll_ms`, without NATS."""
    poll_ms: Annotated[int, Meta(ge=1, le=60_000)] = 50
    guard: str = THE_PRODUCTS
    """One of `projector.guards.GUARDS`; another than the product's in the laboratory only."""
    injected_lag_ms: Annotated[int, Meta(ge=0, le=600_000)] = 0
    """No event or heartbeat becomes readable earlier than this after it was recorded; laboratory."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0
    allowed_origins: list[str] = []
    data_dir: str = DATA_DIR


def load_settings(environ: Mapping[str, str], *, needs: tuple[str, ...] | None = None) -> Settings:
    """Return the settings of `environ`, completed from the run file of its data directory.

    `needs` are the fields this command cannot do without: unless told, the databases, and NATS where
    it does not poll.

    Raises:
        Misconfigured: a variable is wrong or missing; the sentence names it.
    """
    data_dir = Path(environ.get("BOOKING_DATA_DIR", "") or DATA_DIR)
    running = read_run_file(data_dir)
    defaults = (
        {}
        if running is None
        else {
            "database_url": running.database_url,
            "log_database_url": running.database_url,
            "nats_url": running.nats_url,
            "nats_monitoring_url": running.nats_monitoring_url,
        }
    )
    inherited = {
        field: environ[variable]
        for field, variable in INHERITED.items()
        if environ.get(variable, "").strip()
    }
    settings = load(Settings, environ, names=NAMES, defaults={**defaults, **inherited})
    if needs is None:
        databases = ("database_url", "log_database_url")
        needs = databases if settings.sync == "polling" else (*databases, "nats_url")
    for field in needs:
        if not getattr(settings, field):
            raise Misconfigured(
                f"{NAMES[field]} is not set, nor is {INHERITED[field]}, and no `booking up` runs on "
                f"{data_dir}: set one, or start `booking up`."
            )
    if settings.nats_url and not urlsplit(settings.nats_url).hostname:
        raise Misconfigured(
            f"{NAMES['nats_url']} is no URL of a NATS server: it looks like nats://host:4222."
        )
    if settings.injected_lag_ms and settings.environment != "laboratory":
        raise Misconfigured(
            "PROJECTOR_INJECTED_LAG_MS is for experiments only: unset it, "
            "or set BOOKING_ENVIRONMENT=laboratory."
        )
    refuse_no_origin(settings.allowed_origins)
    refuse_unknown(settings.guard, environment=settings.environment)
    return settings
