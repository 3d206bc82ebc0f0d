"""Servers: a socket that is taken or named as the mistake, and an end that leaves nothing hanging."""

import asyncio
import contextlib
import errno
import gc
import ipaddress
import socket
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import uvicorn

from booking.edge.failures import Misconfigured
from booking.edge.one_write import OneWriteProtocol

if TYPE_CHECKING:
    from litestar.types import ASGIApp

GRACE_S = 5
"""How long requests in flight may take to finish once the process should end."""

KEEP_ALIVE_S = 75
BACKLOG = 2048


@runtime_checkable
class Application(Protocol):
    """What a process is there to serve. The metrics beside it are none, and need no framework."""

    def drain(self) -> None:
        """Hears that the process is about to end."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""


def bind(
    host: str, port: int, *, variable: str = "BOOKING_PORT", environment: str = "production"
) -> socket.socket:
    """A socket bound to an address; port 0 takes a free one. Nobody is answered before `serve`.

    Args:
        host: name or address.
        port: 0 to 65535.
        variable: the setting of the port; the host's is the same with HOST for PORT.
        environment: off production only loopback is allowed, because callers need no key there.

    Raises:
        Misconfigured: names the setting, for a taken port, a strange host, or one that is not loopback.
    """
    host_variable = variable.removesuffix("PORT") + "HOST"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"{host_variable}: {host!r} is no address of this machine.") from error
    if (
        environment != "production"
        and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    ):
        raise Misconfigured(
            f"{host_variable} is {host!r}, but in the environment {environment} nobody needs a key, so only "
            "loopback is served: use 127.0.0.1, or set BOOKING_ENVIRONMENT=production."
        )
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        # Listening at once makes a second process fail here and now, not when it starts to serve.
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise Misconfigured(_refusal(error, host, port, variable, host_variable)) from error
    bound.setblocking(False)
    return bound


def _refusal(error: OSError, host: str, port: int, variable: str, host_variable: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is already in use: stop what listens there, or set {variable} (0 takes a free one)."
        case errno.EACCES:
            return f"Port {port} may not be used by this user: set {variable} to one above 1023."
        case _:
            return f"{host_variable}: {host!r} is no address of this machine."


def url_of(bound: socket.socket) -> str:
    """The URL of a bound socket; an address that means "everywhere" is shown as loopback."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    app: "ASGIApp | Application",
    *,
    sockets: Sequence[socket.socket],
    stop: asyncio.Event,
    drain: Callable[[], None] | None = None,
) -> None:
    """Serves an application until `stop` is set, then ends in order.

    First `drain` is called (an Application's own, unless another is given): streams say `bye`. Then no
    connection is accepted any more, requests in flight have 5 s to finish, and what still runs is cut off.

    Args:
        app: the application.
        sockets: bound by `bind`; closed at the end.
        stop: set by whoever ends the process, usually `run`.
        drain: called once at the beginning of the end.
    """
    if isinstance(app, Application):
        drain = drain or app.drain
        # What lives now lives until the end: a full collection over it would stop every request for 14 ms.
        gc.collect()
        gc.freeze()
        # Hundreds of requests in flight are young objects and no garbage: looked through less often.
        gc.set_threshold(20_000, 20, 100)
    server = _Server(
        uvicorn.Config(
            app,
            loop="none",
            http=OneWriteProtocol,
            ws="none",
            lifespan="on" if isinstance(app, Application) else "off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
            backlog=BACKLOG,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=list(sockets)), name="http")
    stopping = asyncio.create_task(stop.wait(), name="http-stop")
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if drain is not None:
                drain()
        finally:
            server.should_exit = True
            await serving
    finally:
        stopping.cancel()
        serving.cancel()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would end the process by the signal, not with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
