"""How each process of the read side starts: its name, its two databases, its metrics port.

Databases without their schemas, and those that belong to an experiment, are refused here, before
anything is served.
"""

import os
import socket
from collections.abc import Mapping

import asyncpg
import structlog

from booking.edge.database import open_pool
from booking.edge.failures import Misconfigured
from booking.edge.servers import bind
from projector.guards import GUARDS, THE_PRODUCTS, Guard
from projector.guards.checkpoint_compare_and_set import read_checkpoint
from projector.log_reader import is_last_line_removed
from projector.settings import Settings

_log = structlog.get_logger(__name__)


def process_name(kind: str) -> str:
    """A name that tells this process from all others that work on the same read model."""
    return f"{kind}-{socket.gethostname()}-{os.getpid()}"


def metrics_socket(settings: Settings) -> socket.socket:
    """Where `/metrics` and `/health/*` of this process listen.

    Raises:
        Misconfigured: the port cannot be used.
    """
    return bind(
        settings.metrics_host,
        settings.metrics_port,
        variable="PROJECTOR_METRICS_PORT",
        environment=settings.environment,
    )


def choose_guard(settings: Settings) -> Guard:
    """The guards that are on; anything but all of them is said loudly."""
    if settings.guard != THE_PRODUCTS:
        _log.warning("guard_is_off", guard=settings.guard, meaning="for experiments only")
    return GUARDS[settings.guard]


async def open_read_model(
    settings: Settings,
    *,
    role: str,
    name: str,
    size_max: int,
    statement_timeout_ms: int,
    server_settings: Mapping[str, str] | None = None,
) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool on the database of the read model, whose sessions begin with `server_settings`.

    Raises:
        Misconfigured: it cannot be reached, or the role is not granted.
    """
    return await open_pool(
        settings.database_url,
        role=role,
        name=name,
        size_max=size_max,
        statement_timeout_ms=statement_timeout_ms,
        server_settings=server_settings,
        variable="PROJECTOR_DATABASE_URL",
    )


async def open_log(
    settings: Settings, *, role: str, name: str, size_max: int, statement_timeout_ms: int
) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool on the write side's database, of which `published.*` is read.

    Raises:
        Misconfigured: it cannot be reached, or the role is not granted.
    """
    return await open_pool(
        settings.log_database_url,
        role=role,
        name=f"{name}-log",
        size_max=size_max,
        statement_timeout_ms=statement_timeout_ms,
        variable="PROJECTOR_LOG_DATABASE_URL",
    )


async def refuse_unfit(read_model: asyncpg.Pool, log: asyncpg.Pool, settings: Settings) -> None:
    """Refuse databases without their schemas, and one whose last line of defence is gone.

    The roles of the read side cannot see the schema `booking`, let alone change its log, so there is
    nothing else to judge.

    Raises:
        Misconfigured: one of them is unfit.
    """
    unmigrated = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)
    try:
        await read_checkpoint(read_model)
    except unmigrated as error:
        raise Misconfigured(
            "The database of PROJECTOR_DATABASE_URL has no read model yet: run `booking migrate`."
        ) from error
    try:
        removed = await is_last_line_removed(log)
    except unmigrated as error:
        raise Misconfigured(
            "The database of PROJECTOR_LOG_DATABASE_URL has no event log yet: run `booking migrate`."
        ) from error
    if removed and settings.environment != "laboratory":
        raise Misconfigured(
            "This database belongs to an experiment (its last line of defence was removed): use "
            "another one, or set BOOKING_ENVIRONMENT=laboratory."
        )
