"""Rules of the read side that no single story shows."""

import importlib
import pkgutil

import asyncpg

import projector.guards
import projector.projections
import projector.queries
from booking.events.facts import FACTS
from projector import log_reader
from projector.projections import IGNORED, READ_MODELS, TABLES, THE_PRODUCTS

STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def statements() -> dict[str, str]:
    """Every named SQL constant of the read side."""
    modules = [log_reader]
    for package in (projector.guards, projector.projections, projector.queries):
        modules += [
            importlib.import_module(f"{package.__name__}.{module.name}")
            for module in pkgutil.iter_modules(package.__path__)
        ]
    found = {}
    for module in modules:
        for name, value in vars(module).items():
            texts = value if isinstance(value, tuple) else (value,)
            for number, text in enumerate(texts):
                if (
                    name.isupper()
                    and isinstance(text, str)
                    and text.lstrip().startswith(STATEMENTS)
                ):
                    found[f"{module.__name__}.{name}[{number}]"] = text
    return found


def test_every_event_type_is_projected_or_ignored_on_purpose():
    projected = set(THE_PRODUCTS.projections)
    assert projected | IGNORED == set(FACTS)
    assert not projected & IGNORED


def test_each_file_of_a_read_model_stands_in_the_table_by_one_line():
    files = {module.name for module in pkgutil.iter_modules(projector.projections.__path__)}
    files -= {"read_model"}
    assert files == {model.__module__.rpartition(".")[2] for model in READ_MODELS}
    assert len(READ_MODELS) == len(files)


async def test_every_table_is_folded_from_the_log_or_says_who_is_at_work(
    database: asyncpg.Connection,
):
    tables = await database.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'read_model'::regnamespace "
        "AND relkind = 'r'"
    )
    at_work = {"checkpoint", "projectors", "query_nodes", "verification", "dropped_event"}
    assert {row["relname"] for row in tables} - at_work == set(TABLES)


async def test_every_statement_fits_the_schema_and_the_rights_of_its_role(
    database: asyncpg.Connection,
):
    assert len(statements()) > 25
    for name, text in statements().items():
        try:
            await database.prepare(text)
        except asyncpg.PostgresError as error:
            raise AssertionError(f"{name}: {error}") from error


async def test_the_query_role_can_write_nothing_but_its_own_row(database: asyncpg.Connection):
    await database.execute("SET ROLE query_reader")
    may_write = await database.fetch(
        """
        SELECT relname FROM pg_class WHERE relnamespace = 'read_model'::regnamespace
          AND relkind = 'r' AND has_table_privilege(oid, 'INSERT, UPDATE, DELETE')
        """
    )
    assert [row["relname"] for row in may_write] == ["query_nodes"]
