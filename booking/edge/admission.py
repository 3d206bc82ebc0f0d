"""Admission: who is calling, whether they may, and whether they may now (401, 403, 429, in this order)."""

import math
from urllib.parse import parse_qsl

import structlog
from litestar.types import Scope

from booking.edge.api_keys import ANONYMOUS, Caller, KeysUnknown, KeyTable
from booking.edge.database import NoDatabaseTime
from booking.edge.health import API_KEYS, REMEDIES
from booking.edge.problems import Problem
from booking.edge.rate_limit import RateLimit
from booking.edge.tickets import InvalidTicket, Tickets

_log = structlog.get_logger(__name__)


class Admission:
    """The doorkeeper of one application."""

    def __init__(
        self, keys: KeyTable | None, *, environment: str, tickets: Tickets | None = None
    ) -> None:
        """Off production, callers without a key are anonymous, with all scopes and no rate limit.

        In production without a live key it is said at once that nobody will get in.
        """
        self._keys = keys
        self._tickets = tickets
        self._production = environment == "production"
        self._rate_limit = RateLimit() if self._production else None
        if self._production and keys is not None and not keys.live:
            _log.warning("nobody_may_call", environment=environment, remedy=REMEDIES[API_KEYS])

    async def missing(self) -> list[str]:
        """Names `api-keys` where nobody could get in: in production without a live key."""
        nobody = self._keys is None or not self._keys.live
        return [API_KEYS] if self._production and nobody else []

    def admit(self, scope: Scope, scopes: tuple[str, ...]) -> Caller:
        """The caller of a request that may go on.

        Args:
            scope: the request's.
            scopes: any of these is needed; none means any caller.

        Raises:
            Problem: unauthenticated, insufficient-scope or rate-limited; database-unavailable when keys
                cannot be checked.
        """
        try:
            caller = self._caller(scope)
        except KeysUnknown:
            raise Problem(
                "database-unavailable",
                "API keys cannot be checked: the database has been away for too long.",
                members={"outcome": "did-not-happen"},
            ) from None
        if scopes and caller.scopes.isdisjoint(scopes):
            raise _insufficient(scopes)
        if self._rate_limit is not None and (wait_s := self._rate_limit.wait_s(caller)):
            raise Problem(
                "rate-limited",
                f"The key {caller.name} has used up its rate on this process.",
                headers=[(b"retry-after", b"%d" % max(1, math.ceil(wait_s)))],
            )
        return caller

    def still_admits(self, caller: Caller) -> bool:
        """Whether a caller who was let in would be let in now, for answers that go on for hours.

        A look into a set, so it may be asked before every word. Where keys cannot be checked: no, as for
        a request.
        """
        if caller.id == ANONYMOUS.id:
            return True
        try:
            return self._keys is not None and self._keys.is_live(caller.id)
        except KeysUnknown:
            return False

    def _caller(self, scope: Scope) -> Caller:
        for name, value in scope["headers"]:
            if name == b"authorization":
                return self._owner(value)
        if b"ticket=" in scope["query_string"] and (ticket := _ticket(scope)) is not None:
            return self._holder(ticket)
        if self._production:
            raise _unauthenticated("The request carries no API key.")
        return ANONYMOUS

    def _holder(self, ticket: str) -> Caller:
        """Whom a ticket lets in: its time is judged by the database's clock, as it was when it was made.

        Its key must still be live, so a ticket that was made without one is good off production only.
        """
        if self._tickets is None:
            raise _unauthenticated("This process reads no tickets.")
        try:
            caller = self._tickets.caller(ticket)
        except InvalidTicket as error:
            raise _unauthenticated(f"The ticket is {error}.") from error
        except NoDatabaseTime:
            raise Problem(
                "database-unavailable",
                "Tickets cannot be checked: the database's time is not known.",
                members={"outcome": "did-not-happen"},
            ) from None
        if caller == ANONYMOUS and not self._production:
            return caller
        if self._keys is None or not self._keys.is_live(caller.id):
            raise _unauthenticated("The API key that the ticket was made for is revoked.")
        return caller

    def _owner(self, authorization: bytes) -> Caller:
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise _unauthenticated("The header Authorization is not of the form Bearer <api key>.")
        caller = None if self._keys is None else self._keys.caller(secret.strip())
        if caller is None:
            raise _unauthenticated("The API key is unknown or revoked.")
        return caller


def _ticket(scope: Scope) -> str | None:
    """The ticket of a request to a route that takes one."""
    if "ticket" not in scope["booking.route"].parameters:  # type: ignore[typeddict-item]  # our own key
        return None
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=None)
    return next((value for name, value in pairs if name == "ticket"), None)


def _unauthenticated(detail: str) -> Problem:
    return Problem("unauthenticated", detail, headers=[(b"www-authenticate", b"Bearer")])


def _insufficient(scopes: tuple[str, ...]) -> Problem:
    challenge = f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'
    return Problem(
        "insufficient-scope",
        f"This needs one of the scopes {', '.join(scopes)}.",
        members={"required": list(scopes)},
        headers=[(b"www-authenticate", challenge.encode())],
    )
