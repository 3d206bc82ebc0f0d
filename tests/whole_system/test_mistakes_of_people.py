"""A mistake gets one sentence that names the setting or the remedy, exit code 2, and no traceback."""

import socket

import pytest
from running import booking, running

NOWHERE = "postgresql://localhost:1/nothing"


def assert_one_sentence(ended, *words: str) -> None:
    assert ended.code == 2, ended.error
    assert "Traceback" not in ended.error
    lines = [line for line in ended.error.splitlines() if not line.startswith("{")]  # logs are JSON
    assert len(lines) == 1, ended.error
    for word in words:
        assert word in lines[0]
    assert ended.output == ""


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOOKING_PORT", "eighty"),
        ("BOOKING_PORT", "65536"),
        ("BOOKING_ENVIRONMENT", "staging"),
        ("BOOKING_HOST", "0.0.0.0"),  # noqa: S104 that it is refused is the claim
        ("BOOKING_GUARD", "unguarded"),
        ("BOOKING_FAULT", "kill_after_commit:3"),
        ("BOOKING_METRICS_PORT", "-1"),
        ("PROJECTOR_INJECTED_LAG_MS", "50"),
        ("BOOKING_PG_BIN", "/nowhere"),
        ("BOOKING_DATABASE_URL", NOWHERE),
        ("BOOKING_MIGRATION_DATABASE_URL", NOWHERE),
        ("BOOKING_NATS_MONITORING_URL", "http://localhost:1"),
        ("PROJECTOR_DATABASE_URL", NOWHERE),
    ],
)
async def test_a_wrong_setting_is_named(variable: str, value: str, tmp_path) -> None:
    ended = await booking(
        *("up", "--port", "0") if variable != "BOOKING_PORT" else ("up",),
        *("--data-dir", str(tmp_path / "data")),
        environ={variable: value},
    )
    assert_one_sentence(ended, variable)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOOKING_GUARD", "prayer"),
        ("BOOKING_FAULT", "meteor"),
        ("BOOKING_FAULT", "kill_after_commit:0"),
        ("BOOKING_ALLOWED_ORIGINS", "shop.example"),
        ("PROJECTOR_GUARD", "prayer"),
        ("PROJECTOR_SYNC", "telepathy"),
        ("PROJECTOR_POLL_MS", "soon"),
    ],
)
async def test_a_mistake_in_a_setting_is_told_before_anything_is_started(
    variable: str, value: str, tmp_path
) -> None:
    ended = await booking(
        *("up", "--port", "0", "--data-dir", str(tmp_path / "data")),
        environ={"BOOKING_ENVIRONMENT": "laboratory", variable: value},
    )
    assert_one_sentence(ended, variable, value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("command", "variable"),
    [("relay", "BOOKING_GUARD"), ("relay", "BOOKING_FAULT"), ("migrate", "BOOKING_FAULT")],
)
async def test_a_mistake_is_told_also_by_who_is_not_concerned(command, variable, tmp_path) -> None:
    ended = await booking(
        *(command, "--data-dir", str(tmp_path)),
        environ={
            "BOOKING_ENVIRONMENT": "laboratory",
            "BOOKING_DATABASE_URL": NOWHERE,
            "BOOKING_NATS_URL": "nats://localhost:1",
            variable: "meteor",
        },
    )
    assert_one_sentence(ended, variable, "meteor")


async def test_a_taken_port_is_named(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await booking("up", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert_one_sentence(ended, port, "BOOKING_PORT")


async def test_a_second_up_on_the_same_directory_names_the_first(tmp_path) -> None:
    async with running(tmp_path / "data", "--parts", "api") as first:
        ended = await booking("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
        assert_one_sentence(ended, f"pid {first.process.pid}", "--data-dir")


async def test_a_data_directory_that_cannot_be_written_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    ended = await booking("up", "--port", "0", "--data-dir", str(tmp_path / "file/data"))
    assert_one_sentence(ended, "--data-dir")


async def test_an_unknown_part_is_named(tmp_path) -> None:
    ended = await booking("up", "--parts", "api,web", "--data-dir", str(tmp_path))
    assert_one_sentence(ended, "--parts", "api,relay,projector,queries")


@pytest.mark.parametrize("command", [["api"], ["relay"], ["migrate"], ["keys", "list"]])
async def test_without_a_setting_and_without_up_the_variable_is_named(command, tmp_path) -> None:
    ended = await booking(*command, "--data-dir", str(tmp_path))
    assert_one_sentence(ended, "DATABASE_URL", "booking up")


@pytest.mark.parametrize("command", [["api"], ["keys", "list"], ["migrate"]])
async def test_an_unreachable_database_is_named(command, tmp_path) -> None:
    ended = await booking(
        *command, "--data-dir", str(tmp_path), environ={"BOOKING_DATABASE_URL": NOWHERE}
    )
    assert_one_sentence(ended, "DATABASE_URL")


async def test_help_names_the_commands_there_are() -> None:
    ended = await booking("--help")
    assert ended.code == 0
    for command in ("up", "demo", "api", "relay", "migrate", "audit", "keys", "epoch"):
        assert f" {command} " in ended.output
