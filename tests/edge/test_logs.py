"""Logs: one JSON object per line on standard error, whoever speaks."""

import json
import subprocess
import sys

SPEAKING = """
import logging, structlog
from booking.edge import logging as ours
ours.configure("tiny")
structlog.get_logger("t").info("slot_closed", slot_id="s", version=7)
logging.getLogger("asyncpg").warning("a library %s", "speaks")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("it_failed")
structlog.get_logger().debug("not_said")
"""


def test_every_line_is_an_object_with_its_process_and_moment():
    ended = subprocess.run(
        [sys.executable, "-c", SPEAKING], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == ""
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["slot_closed", "a library speaks", "it_failed"]
    assert {line["process"] for line in lines} == {"tiny"}
    assert all(line["at"].endswith("Z") for line in lines)
    assert (lines[0]["slot_id"], lines[0]["version"], lines[0]["level"]) == ("s", 7, "info")
    assert "ZeroDivisionError" in lines[2]["exception"]
