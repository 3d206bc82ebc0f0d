"""The menu of faults: what can be done to processes and to wires, and the one way to undo all of it.

* `processes` - stands still (SIGSTOP), goes on
* `tcp_proxy` - slow answers, lost answers, cut connections
* `nats_proxy` - events twice, events out of order
* `wire` - what both proxies stand on: an address that leads to a server, and can be cut

Killing and starting again is `loadtest.system.part.Part`'s.
"""

import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from random import Random
from typing import Self

from loadtest.evidence.trial import Mark
from loadtest.faults.nats_proxy import NatsProxy
from loadtest.faults.processes import PausedProcesses
from loadtest.faults.tcp_proxy import TcpProxy

__all__ = ["Faults", "NatsProxy", "PausedProcesses", "TcpProxy"]


class Faults:
    """All faults of one system; leaving its context heals them, however it is left.

    `marks` is when what was done, for the timeline.
    """

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self._paused = PausedProcesses()
        self._proxies: list[TcpProxy | NatsProxy] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.heal()
        await self._open.aclose()

    def heal(self) -> None:
        """Everything runs and every wire is whole again; proxies stay where they are."""
        self._paused.heal()
        for proxy in self._proxies:
            proxy.heal()

    def pause(self, pid: int) -> None:
        """Stops a process where it stands, until `resume` or `heal`."""
        self._paused.pause(pid)

    def resume(self, pid: int) -> None:
        """Lets it go on."""
        self._paused.resume(pid)

    @contextmanager
    def marked(self, what: str) -> Iterator[None]:
        """Marks the stretch of time inside as `what`, for the timeline; also when it ends by an exception."""
        began_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self.marks.append(Mark(what=what, at_ns=began_ns, until_ns=time.monotonic_ns()))

    async def tcp_proxy(self, upstream: str, *, rng: Random) -> TcpProxy:
        """A wire to an HTTP address that can be hurt."""
        proxy = await self._open.enter_async_context(TcpProxy(upstream, rng=rng))
        self._proxies.append(proxy)
        return proxy

    async def nats_proxy(self, upstream: str, *, rng: Random) -> NatsProxy:
        """A wire to a NATS server that can repeat and shuffle."""
        proxy = await self._open.enter_async_context(NatsProxy(upstream, rng=rng))
        self._proxies.append(proxy)
        return proxy
