"""The service `nats` of docker-compose.yml, started here with the very file that compose mounts."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from compose import REPOSITORY, services
from eventually import eventually

from booking.embedded.binaries import find_nats_server
from booking.embedded.child import Child


@asynccontextmanager
async def mounted_nats(folder: Path) -> AsyncIterator[str]:
    """Where it listens, as host:port; only ports and store are the test's own. Its log is `folder/log`."""
    service = services()["nats"]
    here = {
        "nats-server": str(find_nats_server()),
        "/etc/nats/booking.conf": str(REPOSITORY / "deploy/nats.conf"),
        "/data": str(folder / "data"),
    }
    assert "./deploy/nats.conf:/etc/nats/booking.conf:ro" in service["volumes"]
    server = await Child.start(
        "nats-server",
        [
            *(here.get(word, word) for word in service["command"]),
            *("--addr", "127.0.0.1", "--port", "-1", "--http_port", "-1"),
            *("--ports_file_dir", str(folder)),
        ],
        environ={**os.environ, **service["environment"]},
        log=folder / "log",
    )
    try:
        ports_file = await eventually(
            lambda: [file for file in folder.glob("*.ports") if file.stat().st_size]
        )
        ports = msgspec.json.decode(ports_file[0].read_bytes())
        yield ports["nats"][0].removeprefix("nats://")
    finally:
        await server.stop()
