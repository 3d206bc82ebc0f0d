"""No statement is broken unseen: Postgres reads each one there is, against the schema as it is today."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import asyncpg

import booking
import projector
from booking.guards import laboratory

STATEMENT = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|SET|RESET|LOCK|TRUNCATE|ALTER|CREATE|DROP|DO|COPY)\s"
)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


def statements() -> Iterator[tuple[str, str]]:
    """Every named statement of both packages, with its full name; what is put together later is not seen."""
    for package in (booking, projector):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith(".__main__"):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if not CONSTANT.fullmatch(name):
                    continue
                for part, text in texts(value):
                    if STATEMENT.match(text):
                        yield from (
                            (f"{module.name}.{name}{part}", one)
                            for one in text.split(";")
                            if one.strip()
                        )


def texts(value: object) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield "", value
        case dict():
            yield from ((f"[{k}]", v) for k, v in value.items() if isinstance(v, str))
        case tuple() | list():
            yield from ((f"[{n}]", v) for n, v in enumerate(value) if isinstance(v, str))


async def test_postgres_understands_every_statement_there_is(database: asyncpg.Connection):
    for name in ("CLAIMS", "UNITS", "VIEW", "POSITIONS"):
        await laboratory.apply(database, getattr(laboratory, name))
    read = set()
    broken = {}
    for name, statement in statements():
        if statement in read:
            continue  # known under another module's name
        try:
            await database.prepare(statement)
        except asyncpg.PostgresError as error:
            broken[name] = str(error)
        read.add(statement)
    assert not broken
    assert len(read) > 100
