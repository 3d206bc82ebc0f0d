"""One `booking up` for all pages: started once, as a reader would start it."""

import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from eventually import eventually

from booking.embedded.child import Child


class System(NamedTuple):
    """A running system: where it answers, and the directory it was started in."""

    url: str
    folder: Path


@pytest.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """`booking up` on a free port; its data directory is `.booking` of the folder."""
    folder = tmp_path_factory.mktemp("reader")
    log = folder / "up.log"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BOOKING_")}
    up = await Child.start(
        "booking up",
        [
            *(str(Path(sys.executable).with_name("booking")), "up", "--port", "0"),
            *("--data-dir", str(folder / ".booking")),
        ],
        environ=environ,
        log=log,
    )
    try:

        def ready():
            assert up.exit_code is None, log.read_text()
            return re.search(r"booking is ready at (\S+)", log.read_text())

        found = await eventually(ready, within_s=60)
        yield System(url=found[1], folder=folder)
    finally:
        await up.stop(deadline_s=15)
