"""API keys: made, listed, revoked; known to the database by their SHA-256 only.

A key is shown once, when it is made. Every process reads the live ones anew every two seconds
(`booking.edge.api_keys`), so a revoked key is refused within seconds, everywhere.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from msgspec import Struct

from booking.edge.api_keys import ALL_SCOPES, ApiKey
from booking.edge.failures import Misconfigured

PREFIX: Final = "booking_"
"""Lets people and secret scanners recognise a key."""
KEY_LENGTH_MIN: Final = 24
"""For a first key that somebody else has chosen."""
INITIAL_NAME: Final = "initial"
SCOPES_WITHOUT_A_CUSTOMER: Final = ("inventory:write", "bookings:write", "read", "operate")

INSERT = """
INSERT INTO booking.api_key (name, sha256, scopes, customer_id, rate_per_s, burst)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING key_id
"""
INSERT_IF_FIRST = """
INSERT INTO booking.api_key (name, sha256, scopes)
SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM booking.api_key)
ON CONFLICT DO NOTHING
"""
LIST = """
SELECT key_id, name, scopes, customer_id, rate_per_s, burst, created_at, revoked_at
FROM booking.api_key ORDER BY created_at, key_id
"""
REVOKED_AT = """
SELECT revoked_at FROM booking.api_key WHERE name = $1
"""
REVOKE = """
UPDATE booking.api_key SET revoked_at = coalesce(revoked_at, clock_timestamp())
WHERE name = $1 OR key_id::text = $1
RETURNING name
"""
LOAD = """
SELECT key_id, name, sha256, scopes, customer_id, rate_per_s, burst FROM published.api_keys
"""


class NewKey(NamedTuple):
    """A key just made; `secret` is nowhere else."""

    key_id: UUID
    name: str
    secret: str


class ListedKey(Struct, frozen=True, kw_only=True):
    """A key as it is listed: never the key itself."""

    key_id: UUID
    name: str
    scopes: list[str]
    customer_id: UUID | None
    rate_per_s: int | None
    burst: int | None
    created_at: datetime
    revoked_at: datetime | None


async def create(
    connection: asyncpg.Connection,
    *,
    name: str,
    scopes: Sequence[str],
    customer_id: UUID | None = None,
    rate_per_s: int | None = None,
    burst: int | None = None,
) -> NewKey:
    """Make a key and store its SHA-256. `rate_per_s` and `burst` are per process.

    Raises:
        Misconfigured: an unknown scope, a name that is taken, a rate below 1, or `bookings:own`
            and a customer without each other.
    """
    _refuse_nonsense(name, scopes, customer_id, rate_per_s, burst)
    secret = PREFIX + secrets.token_urlsafe(32)
    try:
        key_id = await connection.fetchval(
            INSERT, name, _sha256(secret), sorted(set(scopes)), customer_id, rate_per_s, burst
        )
    except asyncpg.UniqueViolationError as error:
        taken = "exists already"
        if revoked_at := await connection.fetchval(REVOKED_AT, name):
            taken = f"was revoked on {revoked_at:%Y-%m-%d}, and its name stays taken"
        raise Misconfigured(f"A key named {name} {taken}: choose another name.") from error
    return NewKey(key_id, name, secret)


async def list_keys(connection: asyncpg.Connection) -> list[ListedKey]:
    """Every key ever made, oldest first."""
    return [ListedKey(**row) for row in await connection.fetch(LIST)]


async def revoke(connection: asyncpg.Connection, name_or_id: str) -> str:
    """Revoke a key for good, and return its name. Repeating it changes nothing.

    Raises:
        Misconfigured: there is no such key.
    """
    name: str | None = await connection.fetchval(REVOKE, name_or_id)
    if name is None:
        raise Misconfigured(f"There is no key {name_or_id}: `booking keys list` shows them.")
    return name


async def store_initial(connection: asyncpg.Connection, secret: str) -> bool:
    """Store the SHA-256 of a first key with all scopes, unless there is a key. Returns whether.

    Raises:
        Misconfigured: too short to be a secret.
    """
    if len(secret) < KEY_LENGTH_MIN:
        raise Misconfigured(
            f"BOOKING_INITIAL_KEY is shorter than {KEY_LENGTH_MIN} characters: make a longer one, "
            "for example with `openssl rand -hex 32`."
        )
    done = await connection.execute(
        INSERT_IF_FIRST, INITIAL_NAME, _sha256(secret), list(SCOPES_WITHOUT_A_CUSTOMER)
    )
    return done.endswith(" 1")


async def load(pool: asyncpg.Pool) -> list[ApiKey]:
    """The live keys, for the edge's table."""
    return [ApiKey(**row) for row in await pool.fetch(LOAD)]


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _refuse_nonsense(
    name: str,
    scopes: Sequence[str],
    customer_id: UUID | None,
    rate_per_s: int | None,
    burst: int | None,
) -> None:
    if not name or not name.isprintable() or len(name) > 200:
        raise Misconfigured("A key needs a name of 1 to 200 printable characters.")
    if unknown := set(scopes) - ALL_SCOPES:
        raise Misconfigured(
            f"Unknown scope {', '.join(sorted(unknown))}: use {', '.join(sorted(ALL_SCOPES))}."
        )
    if not scopes:
        raise Misconfigured(f"A key needs a scope: use {', '.join(sorted(ALL_SCOPES))}.")
    if ("bookings:own" in scopes) != (customer_id is not None):
        raise Misconfigured("The scope bookings:own and a customer id belong together.")
    if any(limit is not None and limit < 1 for limit in (rate_per_s, burst)):
        raise Misconfigured("rate and burst are at least 1.")
