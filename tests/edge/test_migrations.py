"""Migrations: numbered files, each once, and no surprise about what a database holds."""

import asyncio

import asyncpg
import pytest

from booking.edge.failures import Misconfigured
from booking.edge.migrations import migrate


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "0001_halls.sql").write_text("CREATE TABLE hall (name text);")
    (tmp_path / "0002_doors.sql").write_text("CREATE TABLE door (name text);")
    return tmp_path


async def names_of_tables(url):
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT relname FROM pg_class WHERE relname IN ('hall', 'door')")
    await connection.close()
    return {row["relname"] for row in rows}


async def test_each_file_is_applied_once_and_in_order(empty_database_url, folder):
    told = []
    first = await migrate(
        empty_database_url, component="house", folder=folder, progress=told.append
    )
    again = await migrate(empty_database_url, component="house", folder=folder)
    assert first == ["0001_halls.sql", "0002_doors.sql"]
    assert told == ["house/0001_halls.sql", "house/0002_doors.sql"]
    assert again == []


async def test_of_three_that_start_at_once_one_applies_and_nobody_fails(empty_database_url, folder):
    applied = await asyncio.gather(
        *(migrate(empty_database_url, component="house", folder=folder) for _ in range(3))
    )
    assert sorted(len(names) for names in applied) == [0, 0, 2]


async def test_a_file_changed_after_it_was_applied_is_refused_by_name(empty_database_url, folder):
    await migrate(empty_database_url, component="house", folder=folder)
    (folder / "0001_halls.sql").write_text("CREATE TABLE hall (name text, seats integer);")
    (folder / "0003_windows.sql").write_text("CREATE TABLE window_seat (name text);")
    told = []
    with pytest.raises(Misconfigured, match=r"house/0001_halls\.sql was changed"):
        await migrate(empty_database_url, component="house", folder=folder, progress=told.append)
    assert told == [], "and nothing new is applied"


async def test_a_database_further_than_these_files_is_refused_by_name(empty_database_url, folder):
    await migrate(empty_database_url, component="house", folder=folder)
    (folder / "0002_doors.sql").rename(folder / "0002_gates.sql")
    told = []
    with pytest.raises(
        Misconfigured,
        match=r"house/0002_doors\.sql was applied by a version this one does not know",
    ):
        await migrate(empty_database_url, component="house", folder=folder, progress=told.append)
    assert told == [], "and nothing new is applied"


@pytest.mark.parametrize("drift", ["changed", "gone"])
async def test_who_made_a_database_before_the_first_release_is_told_to_begin_anew(
    drift, empty_database_url, folder
):
    await migrate(empty_database_url, component="house", folder=folder)
    if drift == "changed":
        (folder / "0002_doors.sql").write_text("CREATE TABLE door (name text, width integer);")
    else:
        (folder / "0002_doors.sql").unlink()
    with pytest.raises(Misconfigured, match=r"remove the data directory\) if it was made before"):
        await migrate(empty_database_url, component="house", folder=folder)


async def test_a_file_that_fails_leaves_nothing_and_those_before_it_stay(
    empty_database_url, folder
):
    (folder / "0002_doors.sql").write_text("CREATE TABLE door (name text); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database_url, component="house", folder=folder)
    assert await names_of_tables(empty_database_url) == {"hall"}

    (folder / "0002_doors.sql").write_text("CREATE TABLE door (name text);")
    assert await migrate(empty_database_url, component="house", folder=folder) == ["0002_doors.sql"]


async def test_two_components_have_histories_of_their_own(empty_database_url, folder, tmp_path):
    await migrate(empty_database_url, component="house", folder=folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "0001_halls.sql").write_text("CREATE TABLE corridor (name text);")
    assert await migrate(empty_database_url, component="garden", folder=other) == ["0001_halls.sql"]


async def test_a_database_that_is_not_there_is_named_by_its_setting(folder):
    with pytest.raises(Misconfigured, match="BOOKING_MIGRATION_DATABASE_URL cannot be reached"):
        await migrate("postgresql://nobody@127.0.0.1:1/none", component="house", folder=folder)


async def test_a_login_that_may_not_migrate_is_told_so(empty_database_url, folder):
    owner = await asyncpg.connect(empty_database_url)
    await owner.execute("CREATE ROLE guest_of_the_house LOGIN")
    try:
        url = empty_database_url.replace("booking@", "guest_of_the_house@", 1)
        assert url != empty_database_url
        with pytest.raises(Misconfigured, match="may not migrate"):
            await migrate(url, component="house", folder=folder)
    finally:
        await owner.execute("DROP ROLE guest_of_the_house")
        await owner.close()
