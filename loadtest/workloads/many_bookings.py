"""The bytes of many bookings: one shape per turn, in which each request fills its blanks.

Every request is a complete one: a customer of its own, an idempotency key of its own, a booking with an event and a position. The generator
only fills in two numbers and the lines, because it shares the cores with what it measures.
"""

import random
import uuid
from collections.abc import Callable, Sequence

from loadtest.driver import NextRequest, RequestWriter

SCATTER = 0x9E37_79B9_7F4B
"""An odd number: multiples of it, cut to 48 bits, are all different and in no order, as clients' random keys are."""
BLANK = b"%012x"
LINES = b"%b"

Headers = Sequence[tuple[str, str]]


def one_unit_each(
    url: str, path: str, slots: Sequence[str], headers: Headers = ()
) -> Callable[[], NextRequest]:
    """Bookings of one unit of one of `slots`, drawn anew for each."""
    return _bookings(url, path, [_lines([slot]) for slot in slots], headers)


def stays(
    url: str, path: str, nights: Sequence[str], *, length: int, headers: Headers = ()
) -> Callable[[], NextRequest]:
    """Bookings of `length` neighbouring slots, from a night drawn for each: they overlap in every way."""
    starts = range(len(nights) - length + 1)
    return _bookings(url, path, [_lines(nights[i : i + length]) for i in starts], headers)


def in_order(
    url: str, path: str, wanted: Sequence[tuple[str, int]], headers: Headers = ()
) -> NextRequest:
    """The n-th booking is of the n-th slot and units (less than ten) of `wanted`, from the beginning again after the last."""
    lines = [_line(slot, units) for slot, units in wanted]
    shape, count = _shape(url, path, len(lines[0]), headers), len(lines)
    return lambda n: shape % (n * SCATTER & 0xFFFF_FFFF_FFFF, n, lines[n % count])


def _bookings(
    url: str, path: str, choices: Sequence[bytes], headers: Headers
) -> Callable[[], NextRequest]:
    def begin() -> NextRequest:
        shape = _shape(url, path, len(choices[0]), headers)
        draw = random.Random(uuid.uuid4().int).random
        count = len(choices)
        if count == 1:
            only = choices[0]
            return lambda n: shape % (n * SCATTER & 0xFFFF_FFFF_FFFF, n, only)
        return lambda n: shape % (n * SCATTER & 0xFFFF_FFFF_FFFF, n, choices[int(draw() * count)])

    return begin


def _lines(slots: Sequence[str]) -> bytes:
    return b",".join(_line(slot, 1) for slot in slots)


def _line(slot: str, units: int) -> bytes:
    return f'{{"slot_id":"{slot}","units":{units}}}'.encode()


def _shape(url: str, path: str, lines_size: int, headers: Headers) -> bytes:
    """The bytes of a booking with three blanks: key, customer and lines. All that are filled in have one length."""
    customer = str(uuid.uuid4())[:-12].encode()
    body = b'{"customer_id":"%b%b","mode":"book","lines":[%b]}' % (customer, BLANK, LINES)
    filled = b'{"customer_id":"%b%b","mode":"book","lines":[%b]}' % (
        customer,
        b"0" * 12,
        b"0" * lines_size,
    )
    key = ("Idempotency-Key", f"{BLANK.decode()}-{uuid.uuid4()}")
    # The writer counts the body's bytes, so it is given a body of the final length.
    head = RequestWriter(url)("POST", path, filled, [*headers, key])
    return head.removesuffix(filled) + body
