"""The ladder for root, rung by rung. Not root: there is nothing to climb."""

import os
import shutil
import tempfile
from pathlib import Path

import asyncpg
import pytest

from booking.edge.failures import Misconfigured
from booking.embedded import identity
from booking.embedded.binaries import find_nats_server, find_postgres
from booking.embedded.postgres import Postgres

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the ladder is for root")


@pytest.fixture
def open_dir():
    """A directory that nobody may pass; on the disk, because in memory programs may be forbidden to run."""
    folder = Path(tempfile.mkdtemp(prefix="booking-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def refuse(monkeypatch, *refused: str) -> None:
    """Let the machine forbid some rungs."""
    really = identity._runs

    async def runs(leash: str, programs: Path) -> bool:
        return not leash.startswith(refused) and await really(leash, programs)

    monkeypatch.setattr(identity, "_runs", runs)


@as_root
async def test_without_user_namespaces_postgres_runs_as_nobody(open_dir, monkeypatch) -> None:
    refuse(monkeypatch, "mapped:")
    async with Postgres(open_dir / "data", durable=False) as postgres:
        assert owner(postgres.child.pid) == identity.NOBODY
        connection = await asyncpg.connect(postgres.url("postgres"))
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()


@as_root
async def test_nobody_gets_a_copy_of_programs_out_of_his_reach(open_dir, monkeypatch) -> None:
    refuse(monkeypatch, "mapped:")
    (open_dir / "closed").mkdir(mode=0o700)
    programs = find_postgres()
    package, installation = programs.parent.parent, programs.parent
    shutil.copytree(installation, open_dir / "closed" / package.name / installation.name)
    libraries = f"{package.name}.libs"
    if package.with_name(libraries).is_dir():
        shutil.copytree(package.with_name(libraries), open_dir / "closed" / libraries)
    monkeypatch.setenv(
        "BOOKING_PG_BIN", str(open_dir / "closed" / package.name / installation.name / "bin")
    )
    async with Postgres(open_dir / "data", durable=False) as postgres:
        assert owner(postgres.child.pid) == identity.NOBODY


@as_root
async def test_where_every_rung_is_forbidden_the_remedy_is_named(tmp_path, monkeypatch) -> None:
    refuse(monkeypatch, "mapped:", "user:")
    with pytest.raises(Misconfigured, match="BOOKING_DATABASE_URL"):
        async with Postgres(tmp_path / "data", durable=False):
            pass


@as_root
async def test_a_data_directory_nobody_cannot_reach_is_named(tmp_path, monkeypatch) -> None:
    refuse(monkeypatch, "mapped:")
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(Misconfigured, match="--data-dir"):
        async with Postgres(tmp_path / "closed/deeper/data", durable=False):
            pass


def test_a_wrong_place_for_postgres_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("BOOKING_PG_BIN", str(tmp_path))
    with pytest.raises(Misconfigured, match="BOOKING_PG_BIN"):
        find_postgres()


def test_without_a_nats_server_the_remedy_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match="BOOKING_NATS_URL"):
        find_nats_server()
