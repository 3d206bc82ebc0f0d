"""What a command's headers say: its key, the versions it accepts, what the user was shown.

Read in one pass, before the body is decoded, because a malformed header (400) comes before a wrong
body (422).
"""

import re
from typing import NamedTuple

from booking.edge.problems import Problem
from booking.edge.requests import StrictRequest, entity_tags
from booking.edge.trace import trace_id, traceparent

_KEY = re.compile(rb'([A-Za-z0-9._~:-]{1,128})|"([A-Za-z0-9._~:-]{1,128})"')
_VERSION = re.compile(r'"([1-9][0-9]{0,17})"')

OF_EVERY_COMMAND = {
    "Idempotency-Key": "1 to 128 of A-Z a-z 0-9 . _ ~ : - and the same for every retry of one intention.",
    "Based-On": "The consistency token of what the user was shown; counted, never a condition.",
    "traceparent": "W3C trace context; passed on into the event.",
}
OF_EXISTING = OF_EVERY_COMMAND | {
    "If-Match": 'The version the command is meant for, such as "7"; or a list, or *.'
}
KEY = "Idempotency-Key"
VERSION = "If-Match"
ANSWERED = {
    "Consistency-Token": "The position of the answer, for reading one's own writes.",
    "Idempotent-Replayed": "true, when the answer is the one this key was given before.",
}
ANSWERED_ENTITY = ANSWERED | {"ETag": "The version of the entity."}
ANSWERED_NEW = ANSWERED_ENTITY | {"Location": "The path of what was made."}


class Asked(NamedTuple):
    """The headers of one command."""

    key: str | None
    if_match: tuple[int, ...] | None
    """Versions the client accepts; None: any. An empty one matches nothing."""
    if_match_sent: bytes
    """Its tags in one spelling, because a repeated key is compared with them; empty: not sent."""
    traceparent: str | None
    correlation_id: str | None
    based_on: str | None


def with_key(request: StrictRequest) -> Asked:
    """The headers of a command that only a key makes safe to repeat.

    Raises:
        Problem: idempotency-key-missing, or invalid-header.
    """
    asked = read(request)
    if asked.key is None:
        raise Problem(
            "idempotency-key-missing", "The header Idempotency-Key is required for this request."
        )
    return asked


def with_version(request: StrictRequest) -> Asked:
    """The headers of a command that is meant for a version, so `If-Match` is required.

    Where it was not sent, no version matches: whether the entity exists is asked before whether a
    condition was set, and only the deciding call knows. It answers 404, or a mismatch, which becomes 428.

    Raises:
        Problem: invalid-header.
    """
    return _needing_a_version(read(request))


def with_key_and_version(request: StrictRequest) -> Asked:
    """As `with_key` and `with_version` together.

    Raises:
        Problem: idempotency-key-missing, or invalid-header.
    """
    return _needing_a_version(with_key(request))


def _needing_a_version(asked: Asked) -> Asked:
    return asked if asked.if_match_sent else asked._replace(if_match=())


def read(request: StrictRequest) -> Asked:
    """The headers of any command.

    Raises:
        Problem: invalid-header.
    """
    key = based_on = None
    traced = conditional = False
    for name, value in request.scope["headers"]:
        if name == b"idempotency-key":
            if key is not None:
                raise Problem("invalid-header", "Idempotency-Key was sent more than once.")
            key = value.strip(b" \t")  # no part of the value (RFC 9110, section 5.5)
        elif name == b"traceparent":
            traced = True
        elif name == b"if-match":
            conditional = True
        elif name == b"based-on":
            based_on = value.decode("latin-1").strip()
    tags = entity_tags(request.scope, b"if-match") if conditional else None
    sent_trace = traceparent(request.scope) if traced else None
    return Asked(
        None if key is None else idempotency_key(key),
        None if tags is None else _versions(tags),
        _spelled(tags) if conditional else b"",
        sent_trace,
        trace_id(request.scope) if sent_trace else None,
        based_on,
    )


def idempotency_key(value: bytes) -> str:
    """The key in a header, quoted or not.

    Raises:
        Problem: invalid-header.
    """
    found = _KEY.fullmatch(value)
    if found is None:
        raise Problem(
            "invalid-header",
            "Idempotency-Key takes 1 to 128 of A-Z a-z 0-9 . _ ~ : - and may stand in double quotes.",
        )
    return (found[1] or found[2]).decode()


def _versions(tags: list[str]) -> tuple[int, ...]:
    """Compared strongly: a weak tag, or one that is no version, matches nothing."""
    return tuple(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag)))


def _spelled(tags: list[str] | None) -> bytes:
    """The same for conditions that mean the same: neither order nor white space of a list counts."""
    return b"*" if tags is None else ", ".join(sorted(set(tags))).encode("latin-1")
