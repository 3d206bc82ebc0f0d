"""The desk between HTTP and the write side: requests become calls, decisions become answers.

It decides nothing. An accepted answer comes as text from the database and leaves as the same bytes;
a refusal becomes problem details.
"""

from collections.abc import Awaitable
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import msgspec
import structlog

from booking.api.headers import Asked
from booking.api.problems import failed, precondition_required, refused
from booking.batcher import DEADLINE_S, Batcher
from booking.commands import Call, Command, Decision
from booking.edge.answers import Answer
from booking.edge.database import DatabaseClock, NoDatabaseTime
from booking.edge.problems import Problem, answer_to
from booking.edge.requests import StrictRequest
from booking.edge.trace import trace_id
from booking.events.tokens import InvalidToken, TokenCodec
from booking.faults import CommandFailed, DatabaseUnavailable, Fault
from booking.identities import uuid7
from booking.inventory import Inventory
from booking.measures import Measures

NO_STORE = (b"cache-control", b"no-store")
REPLAYED = (b"idempotent-replayed", b"true")
DEADLINE = timedelta(seconds=DEADLINE_S)

UNDECIDED = (
    "idempotency-key-reused",
    "invalid-token",
    "queue-full",
    "draining",
    "not-decided",
    "database-unavailable",
    "not-in-this-arm",
)
"""What every command may be answered with, whatever it asks for; for the documentation."""

_encode = msgspec.json.Encoder().encode
_log = structlog.get_logger(__name__)


class Desk:
    """Everything a route needs to pass a command on and to answer it."""

    def __init__(
        self,
        *,
        batcher: Batcher,
        inventory: Inventory,
        clock: DatabaseClock,
        tokens: TokenCodec,
        measures: Measures,
    ) -> None:
        self.batcher = batcher
        self.inventory = inventory
        self._clock = clock
        self._tokens = tokens
        self._measures = measures

    def call(self, request: StrictRequest, body: msgspec.Struct) -> Call:
        """Who asks, under which id, until when.

        Raises:
            Problem: invalid-token (Based-On), or database-unavailable: without its time, no deadline.
        """
        asked: Asked = request.parsed
        if asked.based_on is not None:
            self._refuse_forged(asked.based_on)
        try:
            # The earliest it can be now: a slow reading of the clock must not let anything be decided late.
            deadline = self._clock.now_at_least() + DEADLINE
        except NoDatabaseTime:
            raise failed(DatabaseUnavailable("did-not-happen")) from None
        caller = request.caller
        return Call(
            caller=caller.id,
            command_id=asked.key or str(uuid7()),
            fingerprint=fingerprint(request, asked, body),
            deadline=deadline,
            correlation_id=asked.correlation_id,
            traceparent=asked.traceparent,
            owner=None if "bookings:write" in caller.scopes else caller.customer_id,
            if_match=asked.if_match,
        )

    async def decide(self, request: StrictRequest, command: Command) -> Answer:
        """Queues the command, waits for its batch, answers."""
        try:
            decision = self.batcher.submit(command)
        except Fault as fault:
            return self.undecided(request, fault)
        return await self.answer(request, decision)

    async def answer(self, request: StrictRequest, decision: Awaitable[Decision]) -> Answer:
        """The answer to a command: its bytes, or the problem that says why not."""
        try:
            decided = await decision
        except Fault as fault:
            return self.undecided(request, fault)
        self._measures.outcome(decided.outcome, based_on=request.parsed.based_on is not None)
        headers = self._headers(decided)
        if decided.outcome == "version-mismatch" and not request.parsed.if_match_sent:
            return answer_to(precondition_required(headers), request.scope)
        if not decided.accepted:
            return answer_to(refused(decided, headers), request.scope)
        headers.append(NO_STORE)
        if decided.outcome == "replayed":
            headers.append(REPLAYED)
        return Answer(decided.status, decided.body.encode(), headers)

    def undecided(self, request: StrictRequest, fault: Fault) -> Answer:
        """The answer to a command that could not be decided.

        A defect is logged with the trace that the answer tells, since only here both are known. In one
        line: many may fail at once, and a traceback costs everybody some milliseconds of the event loop.
        """
        self._measures.fault(fault)
        if isinstance(fault, CommandFailed):
            _log.error(
                "request_failed",
                path=request.scope["path"],
                trace_id=trace_id(request.scope),
                command_id=fault.command_id,
                error=repr(fault.__cause__),
            )
        return answer_to(failed(fault), request.scope)

    def token_header(self, epoch: UUID, position: int) -> tuple[bytes, bytes]:
        """`Consistency-Token` of a position."""
        return b"consistency-token", self._tokens.encode(epoch, position).encode()

    def _headers(self, decided: Decision) -> list[tuple[bytes, bytes]]:
        headers = [self.token_header(decided.epoch, decided.position)]
        if decided.location is not None:
            headers.append((b"location", decided.location.encode()))
        if decided.etag is not None:
            headers.append((b"etag", b'"%d"' % decided.etag))
        return headers

    def _refuse_forged(self, token: str) -> None:
        """What the user was shown is a statement, never a condition; but it must be one of ours."""
        try:
            self._tokens.decode(token)
        except InvalidToken as error:
            raise Problem("invalid-token", f"Based-On is no token of ours: {error}.") from error


def fingerprint(request: StrictRequest, asked: Asked, body: msgspec.Struct) -> bytes:
    """What a repeated key must ask for again: method, path, `If-Match` and the decoded body.

    Encoding the decoded body takes white space, the order of members and left-out defaults away; the
    route with its ids as they were understood takes away how these were written.
    """
    scope = request.scope
    path = scope["path"]
    if ids := scope["path_params"]:
        path = scope["booking.route"].template.format(**ids)  # type: ignore[typeddict-item]  # our own key
    target = f"{scope['method']} {path}\n".encode()
    return sha256(b"".join((target, asked.if_match_sent, b"\n", _encode(body)))).digest()
