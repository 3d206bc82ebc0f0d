"""Commands of the system under test, run to their end: what they print, and one sentence when they fail."""

import pytest

from loadtest.failures import CannotRunError
from loadtest.system.command import run_command


async def test_what_a_command_prints_is_what_its_caller_gets(tmp_path):
    printed = await run_command(
        ("projector", "rebuild", "--help"),
        tmp_path,
        settings={},
        log_file=tmp_path / "log",
        within_s=20,
    )
    assert b"Fold the read model anew" in printed


async def test_a_command_that_fails_is_one_sentence_that_says_where_to_look(tmp_path):
    with pytest.raises(
        CannotRunError, match=r"`projector rebuild` ended with exit code 2: see .*log"
    ):
        await run_command(
            ("projector", "rebuild"),
            tmp_path,
            settings={},
            log_file=tmp_path / "log",
            within_s=20,
        )


async def test_a_command_that_does_not_end_is_ended(tmp_path):
    with pytest.raises(CannotRunError, match="did not end within 0 s"):
        await run_command(
            ("booking", "--help"), tmp_path, settings={}, log_file=tmp_path / "log", within_s=0.01
        )
