"""What a query found, how old that is, and whether it may lack something: all of one snapshot.

Where an event could not be taken in, what it concerned is suspect. A list is suspect when one of its
rows is, and when a dead letter speaks of what it is a list of: a row that should be there is missing.
"""

from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import asyncpg
import msgspec

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

CHECKPOINT = "c.epoch, c.position, c.as_of, c.state"
"""The first columns of every query, from `read_model.checkpoint AS c`."""
WIDTH = 4


class Found(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A value as of a position; `epoch` and `as_of` are None before a projector has been there."""

    epoch: UUID | None
    position: int
    as_of: datetime | None
    rebuilding: bool
    suspect: bool = False
    """An event that concerns the value could not be taken in."""
    value: T


def found(row: asyncpg.Record, value: T, *, suspect: bool = False) -> Found[T]:
    """The value with the checkpoint that `row` begins with."""
    epoch, position, as_of, state = row[:WIDTH]
    return Found(
        epoch=epoch,
        position=position,
        as_of=as_of,
        rebuilding=state == "rebuilding",
        suspect=suspect,
        value=value,
    )


def fill(kind: type[S], values: Any) -> S:
    """A struct from columns in the order of its fields."""
    return kind(**dict(zip(kind.__struct_fields__, values, strict=False)))


def columns(
    kind: type[msgspec.Struct], table: str, *, without: frozenset[str] = frozenset()
) -> str:
    """The select list that `fill` expects."""
    names = (name for name in kind.__struct_fields__ if name not in without)
    return ", ".join(f"{table}.{name}" for name in names)


async def only_row(read_model: asyncpg.Pool, statement: str, *parameters: object) -> asyncpg.Record:
    """The one row of a query that joins the checkpoint, which always has one."""
    row = await read_model.fetchrow(statement, *parameters)
    assert row is not None, "the migration makes the one row of the checkpoint"  # noqa: S101  narrows the type
    return row
