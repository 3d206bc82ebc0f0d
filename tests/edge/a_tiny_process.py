"""A whole process around the tiny Part, for tests that send it signals. Prints its URL when it serves."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

sys.path.extend(map(str, Path(__file__).parents[:2]))  # as pytest finds what lies beside tests

from a_tiny_part import Streams, tiny_part
from litestar import get

from booking.edge import logging
from booking.edge.answers import Answer
from booking.edge.failures import Misconfigured
from booking.edge.parts import Part
from booking.edge.serving import bind, http_app, run, serve, url_of


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def main(stop: asyncio.Event) -> None:
    if "misconfigured" in sys.argv:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_fail())
    streams = Streams()
    entered = asyncio.Event()

    @get("/v1/slow")
    async def slow() -> Answer:
        """Answer only when the process is about to end."""
        say("slow is in flight")
        await stop.wait()
        return Answer(200, b'{"finished":true}')

    @get("/v1/stuck")
    async def stuck() -> Answer:
        """Never answer."""
        say("stuck is in flight")
        await entered.wait()
        return Answer(200, b"{}")

    app = http_app(
        tiny_part(),
        streams.part(),
        Part(name="slow", handlers=[slow, stuck]),
        environment="development",
    )
    bound = bind("127.0.0.1", 0)
    say(url_of(bound))
    await serve(app, sockets=[bound], stop=stop)
    say(f"streams closed: {streams.closed}")


async def _fail() -> None:
    raise Misconfigured("BOOKING_PORT is 'x': expected int.")


if __name__ == "__main__":
    if "with-child" in sys.argv:
        child = subprocess.Popen(
            [sys.executable, __file__], env={**os.environ, "BOOKING_PARENT_PID": str(os.getpid())}
        )
        say(child.pid)
        child.wait()
    else:
        logging.configure("tiny")
        sys.exit(run(main))
