"""Whether a command may ask a guard of the laboratory for units at all: what needs no counting.

Pure, and in the product's order, so that the same request is refused for the same reason in every
arm. Arms place, book, release and cancel. Other commands, and limits per customer, are
`not-in-this-arm`; and there is no expiry: a hold keeps its units until it is released or cancelled.
"""

from collections.abc import Sequence
from typing import NamedTuple

import asyncpg
from msgspec import json

from booking.commands import CreateResource, OpenSlots, SetPolicy
from booking.commands.command import Command
from booking.guards.facts import EVENTS, TAKING, Facts
from booking.model import TRANSITIONS, Policy

LIMIT_PER_CUSTOMER = "units_per_customer_max"


class Refusal(NamedTuple):
    """A no: its slug, status, the members of its problem, and the version of what it is about."""

    outcome: str
    status: int
    members: str = "{}"
    etag: int | None = None


def refusal(command: Command, facts: Facts) -> Refusal | None:
    """Why a command is refused before anything is counted, or None."""
    if command.kind not in EVENTS:
        return _unknown(command.kind)
    if command.call.deadline < facts.moment:
        return Refusal("not-decided", 503)
    if command.kind in TAKING:
        return _of_a_new_booking(command, facts)
    return _of_giving_back(command, facts)


def refusal_of_inventory(order: CreateResource | SetPolicy | OpenSlots) -> Refusal | None:
    """Why the back office is refused a rule that every later booking would be refused for, or None.

    Resources and slots are made as the product makes them, or there would be nothing to sell.
    """
    match order:
        case SetPolicy():
            return _unknown("SetPolicy")
        case CreateResource(policy=Policy(units_per_customer_max=int())):
            return _unknown(LIMIT_PER_CUSTOMER)
    return None


def _of_a_new_booking(command: Command, facts: Facts) -> Refusal | None:
    asked: list[dict[str, object]] = [
        {"slot_id": slot_id, "requested": units} for slot_id, units in command.lines
    ]
    if missing := [line for line in asked if line["slot_id"] not in facts.slots]:
        return refused("slot-not-found", 404, lines=missing)
    rules = [facts.slots[slot_id] for slot_id, _ in command.lines]
    longest = min(rule["hold_seconds"] for rule in rules)
    if command.hold_seconds is not None and command.hold_seconds > longest:
        return refused("hold-too-long", 409, limit=longest)
    if no := _of_the_rules(command, asked, rules):
        return no
    if facts.version_of_its_id is not None:
        known = refused("already-exists", 409, booking_id=command.booking_id)
        return known._replace(etag=facts.version_of_its_id)
    return None


def _of_the_rules(
    command: Command, asked: list[dict[str, object]], rules: Sequence[asyncpg.Record]
) -> Refusal | None:
    """What slots and their policies do not allow, whoever asks."""
    if closed := [
        line | {"version": rule["version"]}
        for line, rule in zip(asked, rules, strict=True)
        if not rule["on_sale"]
    ]:
        return refused("slot-closed", 409, lines=closed)
    if above := [
        line | {"limit": rule["units_per_booking_max"]}
        for (_, units), line, rule in zip(command.lines, asked, rules, strict=True)
        if rule["units_per_booking_max"] is not None and units > rule["units_per_booking_max"]
    ]:
        return refused("booking-limit-exceeded", 409, lines=above)
    if any(rule["units_per_customer_max"] is not None for rule in rules):
        return _unknown(LIMIT_PER_CUSTOMER)
    return None


def _of_giving_back(command: Command, facts: Facts) -> Refusal | None:
    it, owner = facts.booking, command.call.owner
    if it is None or (owner is not None and it.customer_id != owner):
        return refused("booking-not-found", 404, booking_id=command.booking_id)
    expected, transitions = command.call.if_match, TRANSITIONS[command.kind]
    if expected is not None and it.version not in expected:
        changed = refused("version-mismatch", 412, expected=expected, actual=it.version)
        return changed._replace(etag=it.version)
    if it.state not in transitions and it.state not in transitions.values():
        return refused(
            "wrong-state",
            409,
            booking_id=command.booking_id,
            state=it.state,
            version=it.version,
            allowed=sorted(transitions, reverse=True),
        )._replace(etag=it.version)
    if any(facts.slots[slot_id]["units_per_customer_max"] is not None for slot_id, _ in it.lines):
        return _unknown(LIMIT_PER_CUSTOMER)
    return None


def _unknown(what: str) -> Refusal:
    return refused("not-in-this-arm", 501, unknown=what)


def refused(slug: str, status: int, **members: object) -> Refusal:
    """A no with these members."""
    return Refusal(slug, status, json.encode(members).decode())
