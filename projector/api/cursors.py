"""Cursors: where a list goes on, opaque to clients and bound to the filters they were given for."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar
from zlib import crc32

import msgspec

from booking.edge.problems import Problem

C = TypeVar("C", bound=msgspec.Struct)


class _Cursor(msgspec.Struct, array_like=True):
    filters: int
    where: msgspec.Raw


def write_cursor(where: msgspec.Struct, filters: msgspec.Struct) -> str:
    """The cursor that goes on at `where` in the list of these filters."""
    raw = msgspec.json.encode(_Cursor(_mark(filters), msgspec.Raw(msgspec.json.encode(where))))
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_cursor(text: str | None, kind: type[C], filters: msgspec.Struct) -> C | None:
    """Where the list goes on; None at its beginning.

    Raises:
        Problem: invalid-cursor, when it is malformed or of other filters.
    """
    if text is None:
        return None
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.json.decode(raw, type=_Cursor)
        where = msgspec.json.decode(cursor.where, type=kind)
    except (ValueError, msgspec.DecodeError) as error:
        raise Problem("invalid-cursor", "The cursor cannot be read.") from error
    if cursor.filters != _mark(filters):
        raise Problem("invalid-cursor", "The cursor was given for other filters.")
    return where


def _mark(filters: msgspec.Struct) -> int:
    """A number of the filters; it keeps mistakes apart, not attackers, who gain nothing here."""
    known = {
        name: getattr(filters, name)
        for name in filters.__struct_fields__
        if name not in ("cursor", "limit")
    }
    return crc32(msgspec.json.encode([type(filters).__name__, known], order="sorted"))
