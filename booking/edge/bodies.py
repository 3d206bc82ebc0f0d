"""Strict reading of JSON bodies: what a client may send, and a JSON pointer to what is wrong with it.

The decoder is strict about types; three things it lets pass are refused here, too: NUL in a text (Postgres
cannot hold it), a moment without an offset, and years nobody books in, whose arithmetic overflows.

A member may say in words what the decoder could only say as a pattern or a type: `Meta(extra={"refusal": "…"})`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

import msgspec

from booking.edge.problems import Problem

YEARS = range(1970, 2200)

_FOR_MACHINES = ("Expected str matching regex", "Expected null")
"""How the decoder begins what says nothing to a person; a member's own words stand for it."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset; bodies that hold one outside 1970..2199 (in UTC) are refused."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What request bodies derive from: unknown members are refused, at every depth."""


class NoBody(Body, frozen=True, kw_only=True):
    """The body of a command that takes none: nothing at all, or `{}`."""


class BodyReader:
    """Reads bodies of one type."""

    def __init__(self, kind: Any) -> None:
        """Takes the type as the route annotates it.

        Raises:
            TypeError: it would let unknown members pass.
        """
        self._decoder = msgspec.json.Decoder(kind)
        structs, self._holds_moments = _inside(msgspec.inspect.type_info(kind))
        self._refusals = _refusals_in(structs)
        if lax := [struct.__name__ for struct in structs if not _is_strict(struct)]:
            raise TypeError(f"request bodies forbid unknown members, but {', '.join(lax)} does not")

    def of_nothing(self) -> bytes:
        """What an empty body stands for: `{}` where that is a body of this type.

        Raises:
            Problem: malformed-json, where members are required.
        """
        try:
            self._decoder.decode(b"{}")
        except msgspec.ValidationError:
            raise Problem("malformed-json", "A JSON body is needed and there is none.") from None
        return b"{}"

    def read(self, raw: bytes) -> Any:
        """The body as a value of this type.

        Raises:
            Problem: malformed-json, or invalid-request with a JSON pointer to the first error.
        """
        try:
            value = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            # The decoder stops at the first wrong member; whether the rest is JSON at all comes first.
            _refuse_malformed(raw)
            pointer, detail = _pointer_and_detail(str(error))
            if detail.startswith(_FOR_MACHINES):
                detail = self._refusals.get(pointer.rpartition("/")[2], detail)
            raise _invalid(pointer, detail) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from error
        if b"\\u0000" in raw or self._holds_moments:
            _refuse_bad_leaves(value)
        return value


@cache
def reader_of(kind: Any) -> BodyReader:
    """The reader of a type; one per type and process."""
    return BodyReader(kind)


def _refuse_malformed(raw: bytes) -> None:
    try:
        msgspec.json.decode(raw)
    except msgspec.ValidationError:
        pass  # well formed, though with a number nobody can hold
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from error


def _malformed(error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem("malformed-json", "The body is nested too deeply.")
    if isinstance(error, UnicodeDecodeError):
        return Problem("malformed-json", "The body is not UTF-8.")
    return Problem("malformed-json", f"{str(error).rstrip('.')}.")


def _invalid(pointer: str, detail: str) -> Problem:
    where = f" at {pointer}" if pointer else ""
    return Problem(
        "invalid-request",
        f"The body is not the documented one{where}: {detail}.",
        members={"errors": [{"pointer": pointer, "detail": detail}]},
    )


def _pointer_and_detail(message: str) -> tuple[str, str]:
    """Takes msgspec's ``Expected `int`, got `str` - at `$.lines[0].units` `` apart."""
    # The last one: what a client sent may stand in the detail, and look like a path.
    detail, found, path = message.rpartition(" - at `$")
    if not found:
        detail, path = message, ""
    steps = path.rstrip("`").replace("[", ".").replace("]", "").split(".")
    pointer = "".join(f"/{_escaped(step)}" for step in steps if step)
    for phrase in ("Object contains unknown field `", "Object missing required field `"):
        if detail.startswith(phrase):
            pointer += f"/{_escaped(detail.removeprefix(phrase).rstrip('`'))}"
    return pointer, detail.replace("`", "")


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _refuse_bad_leaves(value: Any) -> None:
    for pointer, leaf in _leaves(msgspec.to_builtins(value, builtin_types=(datetime,)), ""):
        if isinstance(leaf, str) and "\x00" in leaf:
            raise _invalid(pointer, "Text must not contain NUL")
        if isinstance(leaf, datetime) and not in_years(leaf):
            raise _invalid(pointer, f"Years are {YEARS[0]} to {YEARS[-1]}")


def _leaves(tree: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, inner in tree.items():
            yield pointer, name
            yield from _leaves(inner, f"{pointer}/{_escaped(str(name))}")
    elif isinstance(tree, list):
        for index, inner in enumerate(tree):
            yield from _leaves(inner, f"{pointer}/{index}")
    else:
        yield pointer, tree


def in_years(moment: datetime | None) -> bool:
    """Whether a moment, told in UTC, lies in a year this system knows; None does."""
    if moment is None:
        return True
    try:
        return moment.astimezone(UTC).year in YEARS
    except OverflowError:
        return False


def _is_strict(struct: type[msgspec.Struct]) -> bool:
    return struct.__struct_config__.forbid_unknown_fields


def _inside(info: msgspec.inspect.Type) -> tuple[set[type[msgspec.Struct]], bool]:
    """The structs inside a type, and whether it holds moments."""
    structs: set[type[msgspec.Struct]] = set()
    holds_moments = False
    open_ends: list[Any] = [info]
    while open_ends:
        match open_ends.pop():
            case msgspec.inspect.StructType(cls=cls, fields=fields) if cls not in structs:
                structs.add(cls)
                open_ends += [field.type for field in fields]
            case msgspec.inspect.DateTimeType():
                holds_moments = True
            case msgspec.inspect.UnionType(types=types):
                open_ends += types
            case msgspec.inspect.Metadata(type=inner):
                open_ends.append(inner)
            case msgspec.inspect.DictType(key_type=key, value_type=inner):
                open_ends += [key, inner]
            case msgspec.inspect.TupleType(item_types=types):
                open_ends += types
            case msgspec.inspect.CollectionType(item_type=inner):
                open_ends.append(inner)
    return structs, holds_moments


def _refusals_in(structs: set[type[msgspec.Struct]]) -> dict[str, str]:
    """What members say for themselves when they are refused, by the names clients use."""
    refusals = {}
    for info in msgspec.inspect.multi_type_info(structs):
        for field in info.fields if isinstance(info, msgspec.inspect.StructType) else ():
            match field.type:
                case msgspec.inspect.Metadata(extra={"refusal": refusal}):
                    refusals[field.encode_name] = refusal
    return refusals


@cache
def moments_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The members of a struct that are moments, by the names clients use."""
    return frozenset(
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if _inside(msgspec.inspect.type_info(field.type))[1]
    )


@cache
def lists_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The members of a struct that are lists, by the names clients use."""
    return frozenset(
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if _is_list(msgspec.inspect.type_info(field.type))
    )


def _is_list(info: msgspec.inspect.Type) -> bool:
    match info:
        case msgspec.inspect.UnionType(types=types):
            return any(_is_list(inner) for inner in types)
        case msgspec.inspect.Metadata(type=inner):
            return _is_list(inner)
        case _:
            return isinstance(info, msgspec.inspect.CollectionType)
