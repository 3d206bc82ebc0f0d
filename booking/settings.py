"""The settings of every process of the write side: one struct, filled from the environment.

What is not set is taken from the `run.json` of a running `booking up`, so that `booking keys list`
and the like work in a checkout without any setting. A mistake names its variable.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from booking.edge.failures import Misconfigured
from booking.edge.origins import refuse_no_origin
from booking.edge.settings import load, read_run_file

Environment = Literal["production", "development", "laboratory"]
Port = Annotated[int, Meta(ge=0, le=65535)]

DATA_DIR = ".booking"

NAMES = {
    "database_url": "BOOKING_DATABASE_URL",
    "migration_database_url": "BOOKING_MIGRATION_DATABASE_URL",
    "nats_url": "BOOKING_NATS_URL",
    "nats_monitoring_url": "BOOKING_NATS_MONITORING_URL",
    "host": "BOOKING_HOST",
    "port": "BOOKING_PORT",
    "environment": "BOOKING_ENVIRONMENT",
    "guard": "BOOKING_GUARD",
    "fault": "BOOKING_FAULT",
    "metrics_host": "BOOKING_METRICS_HOST",
    "metrics_port": "BOOKING_METRICS_PORT",
    "allowed_origins": "BOOKING_ALLOWED_ORIGINS",
    "initial_key": "BOOKING_INITIAL_KEY",
    "data_dir": "BOOKING_DATA_DIR",
}


class Settings(Struct, frozen=True, kw_only=True):
    """What a process of the write side is told at its start."""

    database_url: str = ""
    """Its login is a member of every role; each connection takes the role it needs."""
    migration_database_url: str = ""
    """Its login may create roles and schemas."""
    nats_url: str = ""
    nats_monitoring_url: str = ""
    host: str = "127.0.0.1"
    port: Port = 8000
    """0: any free one."""
    environment: Environment = "production"
    guard: str | None = None
    """A guard to attack instead of the product's; laboratory only."""
    fault: str | None = None
    """A fault to inject, for example `kill_after_commit:3`; laboratory only."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0
    allowed_origins: list[str] = []
    initial_key: str | None = None
    """An API key that `booking migrate` stores (its sha256) when there is no key at all."""
    data_dir: str = DATA_DIR


def load_settings(
    environ: Mapping[str, str], *, needs: tuple[str, ...] = ("database_url", "nats_url")
) -> Settings:
    """Return the settings of `environ`, completed from the run file of its data directory.

    `needs` are the fields this command cannot do without.

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
            "migration_database_url": running.migration_database_url,
            "nats_url": running.nats_url,
            "nats_monitoring_url": running.nats_monitoring_url,
        }
    )
    own_database = environ.get("BOOKING_DATABASE_URL", "").strip()
    if own_database:
        # An owner's login of another server than the one asked for would be a trap.
        defaults["migration_database_url"] = own_database
    settings = load(Settings, environ, names=NAMES, defaults=defaults)
    for field in needs:
        if not getattr(settings, field):
            raise Misconfigured(
                f"{NAMES[field]} is not set and no `booking up` runs on {data_dir}: "
                "set it, or start `booking up`."
            )
    _refuse_unsafe(settings)
    refuse_no_origin(settings.allowed_origins)
    _refuse_unknown(settings)
    return settings


def _refuse_unsafe(settings: Settings) -> None:
    if settings.environment != "production" and not is_loopback(settings.host):
        raise Misconfigured(
            f"BOOKING_HOST={settings.host} can be reached from outside, and the environment "
            f"{settings.environment} lets everybody in: use 127.0.0.1, or "
            "BOOKING_ENVIRONMENT=production and API keys."
        )
    if settings.environment != "laboratory":
        for variable, value in (
            ("BOOKING_GUARD", settings.guard),
            ("BOOKING_FAULT", settings.fault),
        ):
            if value:
                raise Misconfigured(
                    f"{variable} is for experiments only: unset it, "
                    "or set BOOKING_ENVIRONMENT=laboratory."
                )


def _refuse_unknown(settings: Settings) -> None:
    """Refuse a guard or a fault that does not exist; who asks for none does not wait for their imports."""
    if settings.guard:
        from booking.guards import chosen  # noqa: PLC0415 asyncpg and every guard, for experiments only

        chosen(settings.guard, environment=settings.environment)
    if settings.fault:
        from booking.injected_fault import moment_of  # noqa: PLC0415 as above

        moment_of(settings.fault, environment=settings.environment)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
