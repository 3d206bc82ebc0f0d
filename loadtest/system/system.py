"""The system an experiment is made on: an embedded one with parts of its own, or somebody's deployment behind a URL.

Scenarios see one shape: an address, clients, the log as it is published, and, where it is ours, its processes and faults. Everything that was
started ends, and every fault is healed, however the experiment ends.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec
from msgspec import Struct

from loadtest.driver import Client
from loadtest.failures import CannotRunError
from loadtest.faults import Faults
from loadtest.history import size_of
from loadtest.system.booking_up import RUN_FILE, RunFile, booking_up, read_run_file
from loadtest.system.child_processes import children_of
from loadtest.system.command import run_command
from loadtest.system.event_log import read_log
from loadtest.system.giving_back import give_back
from loadtest.system.inventory import KEY_WANTED, Opened, open_resource
from loadtest.system.part import Kind, Part

REQUEST_TIMEOUT_S = 15.0
# So many that nobody waits for a connection while the system keeps up at all: people do not queue for each other.
CONNECTIONS_MAX = 256
COMMAND_DEADLINE_S = 60.0


Beside = Callable[["System"], Awaitable[None]]
"""Starts parts that were left out of `booking up`, while it waits for them; the system's own address is not known yet."""


class LogFile:
    """Where the events of one system's log go, as far as they have been read; survives restarts of the system on the same data."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.after = 0
        self._opened_at: dict[str, int] = {}

    def opened(self, slot_ids: Sequence[str], *, at: int) -> None:
        """Slots were opened when the file was so long."""
        self._opened_at.update(dict.fromkeys(slot_ids, at))

    def since(self, slot_ids: Sequence[str]) -> int:
        """The byte of the file before which nothing is about these slots; 0 where that is not known."""
        return min((self._opened_at.get(slot_id, 0) for slot_id in slot_ids), default=0)


class _Head(Struct):
    head: int


class System:
    """A running system; use the functions below to have one.

    `url` answers commands and queries. With `key` every client sends it. `data_dir` is null for somebody's deployment, where nothing can be
    killed, paused or started beside it.
    """

    def __init__(
        self,
        url: str,
        *,
        log: LogFile,
        faults: Faults,
        key: str | None = None,
        data_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        log_file: Path | None = None,
    ) -> None:
        self.url = url
        self.log = log
        self.faults = faults
        self._key = key
        self._data_dir = data_dir
        self._settings = dict(settings or {})
        self._log_file = log_file
        self._parts = contextlib.AsyncExitStack()
        self.opened: list[Opened] = []
        self.reads_log = True

    @property
    def is_ours(self) -> bool:
        """Whether its processes are the laboratory's own; of somebody's deployment there is one address, whatever stands behind it."""
        return self._data_dir is not None

    def client(
        self,
        url: str | None = None,
        *,
        connections_max: int = CONNECTIONS_MAX,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> Client:
        """A pool of connections to the system, or to `url` (a part of it, a proxy); use as an async context manager."""
        return Client(
            url or self.url,
            connections_max=connections_max,
            timeout_s=timeout_s,
            headers=self.authorization,
        )

    @property
    def authorization(self) -> list[tuple[str, str]]:
        """The header that carries the key, for whoever does not go through `client`; empty without one."""
        return [("Authorization", f"Bearer {self._key}")] if self._key is not None else []

    async def open_resource(
        self,
        *,
        capacities: Sequence[int],
        rng: Random,
    ) -> Opened:
        """Makes a resource with a slot per capacity; the queries know them when it returns. On a deployment they are closed in the end.

        Raises:
            CannotRunError: the system refused.
        """
        at = size_of(self.log.path)
        async with self.client(connections_max=2) as client:
            opened = await open_resource(client, capacities=capacities, rng=rng)
        self.log.opened(opened.slot_ids, at=at)
        self.opened.append(opened)
        return opened

    async def read_log(self) -> None:
        """Fetches what was logged since the last time and writes it to the log's file.

        Raises:
            CannotRunError: the log cannot be read.
        """
        async with self.client(connections_max=2) as client:
            self.log.after = await read_log(client, after=self.log.after, dump=self.log.path)

    async def part(
        self,
        kind: Kind,
        settings: Mapping[str, str] | None = None,
        *,
        until_ready: bool = True,
    ) -> Part:
        """Starts one more process: `queries`, `api`, `projector` or `relay`, with the settings of the arm and these; it ends with the system.

        Raises:
            CannotRunError: it is somebody's deployment, or the process does not get ready.
        """
        if self._data_dir is None or self._log_file is None:
            raise CannotRunError(
                "Parts are started beside an embedded system only: leave out --target."
            )
        part = Part(
            kind,
            self._data_dir,
            settings={**self._settings, **(settings or {})},
            log_file=self._log_file,
        )
        self._parts.push_async_callback(part.stop)
        await part.start(until_ready=until_ready)
        return part

    async def command(self, *words: str, within_s: float = COMMAND_DEADLINE_S) -> bytes:
        """What an operator's command (`projector`, `rebuild`, …) prints, with the settings of the arm, when it has ended well.

        Raises:
            CannotRunError: it is somebody's deployment, or the command failed or did not end in time.
        """
        if self._data_dir is None or self._log_file is None:
            raise CannotRunError("Commands are run on an embedded system only: leave out --target.")
        return await run_command(
            words,
            self._data_dir,
            settings=self._settings,
            log_file=self._log_file,
            within_s=within_s,
        )

    def pid_of(self, kind: Kind) -> int:
        """The process of a part that `booking up` runs as its child (`relay` or `projector`), or `booking up` itself (`api`, `queries`).

        Raises:
            CannotRunError: there is none, or it is somebody's deployment.
        """
        up = self.run_file().pid
        if kind in ("api", "queries"):
            return up
        wanted = {"relay": "booking.cli relay", "projector": "projector.cli run"}[kind]
        for pid, command in children_of(up).items():
            if wanted in command:
                return pid
        raise CannotRunError(f"`booking up` runs no {kind} now.")

    def run_file(self) -> RunFile:
        """What `booking up` wrote about itself.

        Raises:
            CannotRunError: it is somebody's deployment.
        """
        if self._data_dir is None:
            raise CannotRunError("Only an embedded system has a run file: leave out --target.")
        return read_run_file(self._data_dir / RUN_FILE)

    async def give_back(self) -> None:
        """Ends every booking on the slots that were opened here, and closes the slots."""
        slot_ids = [slot_id for opened in self.opened for slot_id in opened.slot_ids]
        if slot_ids:
            async with self.client(connections_max=8) as client:
                await give_back(client, slot_ids)

    async def close(self) -> None:
        """Ends what was started beside it."""
        await self._parts.aclose()


@contextlib.asynccontextmanager
async def embedded(
    data_dir: Path,
    *,
    settings: Mapping[str, str],
    log: LogFile,
    log_file: Path,
    parts: str | None = None,
    beside: Beside | None = None,
) -> AsyncIterator[System]:
    """`booking up` on a directory, with these settings; started again on the same directory it goes on where it was.

    Raises:
        CannotRunError: it does not start; the sentence quotes it.
    """
    async with Faults() as faults:
        system = System(
            "", log=log, faults=faults, data_dir=data_dir, settings=settings, log_file=log_file
        )
        try:
            async with booking_up(
                data_dir,
                settings=settings,
                log_file=log_file,
                parts=parts,
                beside=None if beside is None else lambda: beside(system),
            ) as url:
                system.url = url
                try:
                    yield system
                finally:
                    # A paused process cannot end in order.
                    faults.heal()
                    await system.close()
        finally:
            await system.close()


@contextlib.asynccontextmanager
async def deployed(url: str, *, key: str | None, log: LogFile) -> AsyncIterator[System]:
    """Somebody's deployment, as it is.

    Raises:
        CannotRunError: it does not answer, or does not know the key.
    """
    async with Faults() as faults:
        system = System(url.rstrip("/"), log=log, faults=faults, key=key)
        async with system.client(connections_max=1, timeout_s=5.0) as client:
            answer = await client.request("GET", "/v1/events?after=0&limit=1")
        if answer.status == 0:
            raise CannotRunError(f"{url} does not answer: is the system running there?")
        if answer.status == 401:
            raise CannotRunError(f"{url} does not know us (401): {KEY_WANTED}.")
        if answer.status not in (200, 403):
            raise CannotRunError(
                f"{url} did not show its log ({answer.status}): is it a booking system?"
            )
        # Without the log what needs it cannot be judged; that is then said, and is no reason not to look at the rest.
        system.reads_log = answer.status == 200
        if system.reads_log and log.after == 0:
            # Whatever was there before is none of ours.
            log.after = msgspec.json.decode(answer.body, type=_Head).head
        try:
            yield system
        finally:
            await system.give_back()
