"""Query nodes of their own beside a running system: late ones, frozen ones, ones with a wrong clock."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from line import Line
from running import START_DEADLINE_S, STOP_DEADLINE_S, Up

SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
/* The wall clock, and it alone, is off by CLOCK_OFF_S seconds, for every library of the process. */
static long off(void) { const char *s = getenv("CLOCK_OFF_S"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, at);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += off();
    return failed;
}
time_t time(time_t *into) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (into) *into = at.tv_sec;
    return at.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""


def clock_off_by(seconds: int, folder: Path) -> dict[str, str] | None:
    """The environment of a process whose wall clock is wrong; None where it cannot be made so."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        return None
    source, library = folder / "shifted_clock.c", folder / "shifted_clock.so"
    source.write_text(SHIFTED_CLOCK)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True
    )
    environ = {"LD_PRELOAD": str(library), "CLOCK_OFF_S": str(seconds)}
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert abs(float(told.stdout) - time.time() - seconds) < 1, "the clock of the child is off"
    return environ


class Node:
    """A process of `projector api`."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process, self.url = process, url

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def line(self) -> Line:
        return Line(self.url)


@contextlib.asynccontextmanager
async def query_node(up: Up, **environ: str) -> AsyncIterator[Node]:
    """A node that is ready, on the databases and the NATS of `up`."""
    log = up.data_dir.with_name(f"node-{len(list(up.data_dir.parent.glob('node-*')))}.stderr")
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BOOKING_", "PROJECTOR_"))
    }
    with log.open("w") as error:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "projector.cli", "api"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=error,
            env=clean
            | {
                "BOOKING_ENVIRONMENT": "laboratory",
                "BOOKING_DATA_DIR": str(up.data_dir),
                "PROJECTOR_PORT": "0",
            }
            | environ,
        )
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not (said := re.search(r"^.*queries_served.*$", log.read_text(), re.MULTILINE)):
                assert process.returncode is None, log.read_text()[-2000:]
                await asyncio.sleep(0.02)  # polls: with a deadline
            node = Node(process, json.loads(said.group())["url"])
            while True:
                async with node.line() as line:
                    if (await line.get("/health/ready")).status == 200:
                        break
                await asyncio.sleep(0.02)  # polls: with a deadline
        yield node
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(STOP_DEADLINE_S):
                await process.wait()
