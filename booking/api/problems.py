"""Every rejection and fault of the write side as a problem type: title, meaning, what to do.

One row per slug; a test compares the rows with `rejections` and `faults`.
"""

import msgspec

from booking.commands import Decision
from booking.edge.problems import Problem, ProblemType, table_of
from booking.faults import (
    CommandFailed,
    DatabaseUnavailable,
    Draining,
    Fault,
    NotDecided,
    QueueFull,
)
from booking.rejections import rejection

PROBLEMS = table_of(
    ProblemType(
        slug="capacity-exceeded",
        title="Not enough units left",
        status=409,
        meaning="At least one slot has fewer units left than were asked for; nothing was taken.",
        remedy="`lines` names the slots that were short and what they had at that version: ask for "
        "fewer units, or for another slot.",
    ),
    ProblemType(
        slug="booking-limit-exceeded",
        title="More units than one booking may have",
        status=409,
        meaning="At least one line, merged per slot, is above `units_per_booking_max` of the policy; "
        "nothing was taken.",
        remedy="Ask for at most `limit` units of each slot in `lines`.",
    ),
    ProblemType(
        slug="customer-limit-exceeded",
        title="More units than one customer may have",
        status=409,
        meaning="With its other live bookings the customer would be above `units_per_customer_max` of "
        "the policy in at least one slot; nothing was changed.",
        remedy="`lines` names `used` and `limit` of each slot: ask for less, or cancel something first.",
    ),
    ProblemType(
        slug="capacity-below-use",
        title="The slot would be smaller than what is taken of it",
        status=409,
        meaning="Capacity and overbooking together would be below the units held and confirmed, with "
        "expired holds already taken back; nothing was changed.",
        remedy="Choose at least `used` units, or cancel bookings first.",
    ),
    ProblemType(
        slug="slot-closed",
        title="The slot takes no new bookings",
        status=409,
        meaning="At least one slot is closed, or its end has passed; nothing was taken.",
        remedy="Choose another slot. Bookings it has can still be confirmed, released and cancelled.",
    ),
    ProblemType(
        slug="slot-not-found",
        title="The slot does not exist",
        status=404,
        meaning="No slot has the id in the path, or those in `lines`; nothing was changed.",
        remedy="Compare `slot_id`, or the ids in `lines`, with `/v1/availability`.",
    ),
    ProblemType(
        slug="hold-too-long",
        title="The hold is longer than the policy allows",
        status=409,
        meaning="`hold_seconds` is above the least limit of the resources involved.",
        remedy="Ask for at most `limit` seconds, or leave `hold_seconds` out.",
    ),
    ProblemType(
        slug="already-exists",
        title="The id is taken",
        status=409,
        meaning="An id that the request has chosen belongs to something that exists.",
        remedy="If this was a retry, repeat the request with its first Idempotency-Key; otherwise "
        "choose another id, or let the server choose.",
    ),
    ProblemType(
        slug="resource-not-found",
        title="The resource does not exist",
        status=404,
        meaning="No resource has this id.",
        remedy="Create it with POST `/v1/resources`, or correct the id.",
    ),
    ProblemType(
        slug="booking-not-found",
        title="The booking does not exist",
        status=404,
        meaning="No booking has this id, or it belongs to somebody this key may not act for.",
        remedy="Correct the id. If the booking was just made, its own answer is the proof.",
    ),
    ProblemType(
        slug="wrong-state",
        title="The booking's state does not allow this",
        status=409,
        meaning="The booking has left the state this command starts from; `allowed` names it.",
        remedy="Nothing has changed. `state` and `version` are the current ones.",
    ),
    ProblemType(
        slug="version-mismatch",
        title="The entity has changed",
        status=412,
        meaning="`If-Match` names a version that is not the current one; nothing was changed.",
        remedy="Read the entity again, decide again, and send its current `ETag`.",
    ),
    ProblemType(
        slug="precondition-required",
        title="If-Match is needed",
        status=428,
        meaning="This command changes what somebody has seen, so it must name the version it is meant "
        "for; nothing was changed.",
        remedy="Read the entity, decide, and send its `ETag` as `If-Match`; `*` means whatever it is now.",
    ),
    ProblemType(
        slug="idempotency-key-missing",
        title="An Idempotency-Key is needed",
        status=400,
        meaning="Done twice, this command would do more than once, and only a key makes it safe to repeat.",
        remedy="Send `Idempotency-Key` with 1 to 128 of `A-Z a-z 0-9 . _ ~ : -`, new for every "
        "intention and the same for every retry.",
    ),
    ProblemType(
        slug="idempotency-key-reused",
        title="The Idempotency-Key belongs to another request",
        status=422,
        meaning="This key was used with another method, path, `If-Match` or body.",
        remedy="Use a new key for a new intention.",
    ),
    ProblemType(
        slug="invalid-token",
        title="The consistency token is not one of ours",
        status=400,
        meaning="A token is malformed, or was not signed by this system.",
        remedy="Send tokens exactly as they were received.",
    ),
    ProblemType(
        slug="command-not-found",
        title="No command is known under this key",
        status=404,
        meaning="No command of this caller with this id was accepted. Asked 10 s after the last "
        "attempt, this is final: it did not happen and never will.",
        remedy="Refused commands are not kept: repeat the request with the same key.",
    ),
    ProblemType(
        slug="queue-full",
        title="Too many commands are waiting",
        status=503,
        meaning="The process has as many commands waiting as it may have; nothing has happened.",
        remedy="Repeat after `Retry-After` seconds with the same Idempotency-Key.",
    ),
    ProblemType(
        slug="not-decided",
        title="Not decided in time",
        status=503,
        meaning="The command was not decided before its deadline. It did not happen.",
        remedy="Repeat it with the same Idempotency-Key.",
    ),
    ProblemType(
        slug="not-in-this-arm",
        title="Not part of this experiment",
        status=501,
        meaning="The process runs with a guard of the laboratory, which places, books, releases "
        "and cancels only, without limits per customer and without expiry.",
        remedy="Unset BOOKING_GUARD.",
    ),
)


def refused(decision: Decision, headers: list[tuple[bytes, bytes]]) -> Problem:
    """The problem that a rejection is answered with; 409s say where the log stood, and when."""
    reason = rejection(decision.outcome, decision.body)
    members = msgspec.to_builtins(reason)
    if decision.status == 409:
        members = {"position": decision.position, "as_of": decision.as_of, **members}
    return Problem(decision.outcome, reason.sentence(), members=members, headers=headers)


def precondition_required(headers: list[tuple[bytes, bytes]]) -> Problem:
    """The problem of a command that must name a version and names none."""
    return Problem(
        "precondition-required",
        'This request needs If-Match with the version it is meant for, such as "7", or *.',
        headers=headers,
    )


def failed(fault: Fault) -> Problem:
    """The problem that a fault is answered with; it always says whether something happened."""
    match fault:
        case QueueFull():
            return Problem("queue-full", "Too many commands are waiting; nothing has happened.")
        case Draining():
            return Problem("draining", "The process is about to end; nothing has happened.")
        case NotDecided():
            return Problem("not-decided", "Contended until its deadline; it did not happen.")
        case DatabaseUnavailable():
            return Problem("database-unavailable", str(fault), members={"outcome": fault.outcome})
        case CommandFailed():
            return Problem(
                "internal-error",
                str(fault),
                members={"outcome": fault.outcome, "constraint": fault.constraint},
            )
        case _:
            return Problem("internal-error", str(fault), members={"outcome": fault.outcome})
