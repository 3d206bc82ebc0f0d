"""One system call per answer instead of two.

The server writes an answer's head and its body separately, and each write is a system call here and a
wake-up at the client: together a fifth of the processor time of a small answer. Held back until the loop's
next round, both leave as one. Nothing waits longer than that, so streams are as prompt as before.
An answer whose bytes are ready as a whole need not go through the server's piecewise sending at all, a
body that is here need not be received in messages, and the timer of an idle connection is not made anew
by every request: of what a small request costs the server these were an eighth.
"""

import asyncio
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from booking.edge.answers import Answer

CUT_OFF = "booking.cut-off"
"""The ASGI extension by which an answer ends its connection at once, unsent bytes and all; closing it
would wait for a client to read them."""
AT_ONCE = "booking.at-once"
"""The ASGI extension that writes a whole answer: `(scope, answer)`, and says whether it did. Where it did
not, the answer is sent in messages, as on any other server."""
ARRIVED = "booking.arrived"
"""The ASGI extension that gives, without waiting, the body of a request that has come as a whole: `(scope)`,
and None of one that has not. Given once, as a message would be."""


class OneWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol on a transport that gathers what is written in one round of the loop."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the server narrows it
        """Puts the gathering transport in between."""
        self._gathering = _Gathering(transport, self.loop)
        self._extensions = {
            CUT_OFF: self._gathering.abort,
            AT_ONCE: self._write_at_once,
            ARRIVED: self._arrived,
        }
        self._answering: RequestResponseCycle | None = None
        self._idle_since_s: float | None = None
        super().connection_made(self._gathering)

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets go of all that leads back here, so that a connection is gone when it has ended.

        Those that wait for the collector pile up: in a busy process it comes round once in many minutes.
        """
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self.pipeline.clear()
        self.cycle = self.scope = None  # type: ignore[assignment]  # as before the first request
        self._answering = None  # and not deleted: whoever still answers may ask
        del self._extensions, self._gathering

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Remembers what is being answered.

        The server knows only the request that came last: an answer without end would never hear that its
        client has gone, once that had sent another request.
        """
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        """Offers what this server can do beyond ASGI."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions  # type: ignore[typeddict-item]  # ours are functions

    def _arrived(self, scope: Any) -> bytes | None:
        """What the server's cycle would give in one message, where that is the last one."""
        cycle = self._answering
        if cycle is None or cycle.scope is not scope or cycle.more_body or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()  # whoever receives from now on waits for the client to go away
        return body

    def _unset_keepalive_if_required(self) -> None:
        """The client is not idle; the timer runs on, and sees that when it strikes."""
        self._idle_since_s = None

    def on_response_complete(self) -> None:
        """As the server's, but a timer that runs already is left running."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection that was idle for so long; one that was not is looked at again."""
        self.timeout_keep_alive_task = None
        if self._idle_since_s is None:
            return  # the next answer starts it again
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_in(left_s)
        else:
            super().timeout_keep_alive_handler()

    def _look_in(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _write_at_once(self, scope: Any, answer: Answer) -> bool:
        """Does what the server's cycle does for a complete answer, in one step.

        Everything out of the ordinary is left to the server: a client that does not read, one that sent
        its next request already, and one whose connection ends with this answer.
        """
        cycle = self.cycle
        if (
            cycle is None  # the client went away
            or cycle.scope is not scope
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or self.flow.write_paused
        ):
            return False
        head = b"".join(
            [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *answer.headers)]
        )
        if head.count(b"\n") != len(cycle.default_headers) + len(answer.headers):
            return False  # a line break within a value would begin another header; the server refuses it
        cycle.response_started = cycle.response_complete = True
        self._gathering.write_whole(b"%b%b\r\n%b" % (STATUS_LINE[answer.status], head, answer.body))
        cycle.message_event.set()
        cycle.on_response()
        return True


class _Gathering(asyncio.Transport):
    """The part of a transport that the protocol uses."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._call_soon = loop.call_soon
        self._gathered: list[bytes] = []

    def write(self, data: Any) -> None:
        if not self._gathered:
            self._call_soon(self._flush)
        self._gathered.append(data)

    def write_whole(self, data: bytes) -> None:
        """Nothing more belongs to it, so it need not wait; but never before what came before it."""
        if self._gathered:
            self._gathered.append(data)
        else:
            self._transport.write(data)

    def _flush(self) -> None:
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._transport.write(b"".join(gathered))

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()
