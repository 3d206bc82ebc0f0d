"""The route that says what became of a command: for clients whose answer was lost."""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from booking.api.desk import NO_STORE, Desk
from booking.api.documents import CommandShown
from booking.api.headers import idempotency_key
from booking.attempts import NOTHING_HAPPENED
from booking.edge.answers import Answer
from booking.edge.database import CONNECTION_LOST
from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest
from booking.guards.records import Recalled

Recall = Callable[[str, str], Awaitable[Recalled | None]]


def routes(desk: Desk, recall: Recall) -> list[HTTPRouteHandler]:
    """The route of commands; `recall` finds a caller's command by its key."""

    @get(
        "/v1/commands/{key:str}",
        opt={
            "scopes": ("inventory:write", "bookings:write", "bookings:own"),
            "answers": {200: CommandShown},
            "response_headers": {"Consistency-Token": "The position of the command's answer."},
            "problems": ("command-not-found", "database-unavailable"),
        },
    )
    async def what_became_of(request: StrictRequest, key: FromPath[str]) -> Answer:
        """What became of one of the caller's own commands, read from the primary."""
        key = _key(key)
        try:
            found = await recall(request.caller.id, key)
        except (*NOTHING_HAPPENED, *CONNECTION_LOST):
            # Whoever asks has lost an answer: not to know is no reason to book again.
            raise Problem(
                "database-unavailable",
                "The record cannot be read now, so nothing is known of the command.",
                members={"outcome": "may-have-happened"},
            ) from None
        if found is None:
            raise Problem(
                "command-not-found", f"No command of this caller was accepted under {key}."
            )
        return Answer(
            200,
            _shown(key, found),
            [desk.token_header(found.epoch, found.position), NO_STORE],
        )

    return [what_became_of]


def _key(text: str) -> str:
    """A text that can be no key names no command."""
    try:
        return idempotency_key(text.encode())
    except Problem:
        raise Problem(
            "command-not-found", "No command was accepted under this; it is no key."
        ) from None


def _shown(key: str, found: Recalled) -> bytes:
    return msgspec.json.encode(
        {
            "key": key,
            "state": "done",
            "command": found.command,
            "status": found.status,
            "location": found.location,
            "position": found.position,
            "recorded_at": found.recorded_at,
            "answer": msgspec.Raw(found.answer.encode()),
        }
    )
