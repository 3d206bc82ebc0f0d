"""Strict reading of what clients send: bodies, query parameters, headers.

The framework reads bodies laxly (`"1"` for 1, a naive time for a moment) and any media type as JSON;
`StrictRequest` does not. Whatever is wrong becomes a 4xx problem in the documented order: too large,
no JSON by its media type, malformed or with a wrong parameter or header, not the documented body.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.types import Empty, Scope

from booking.edge.api_keys import Caller
from booking.edge.problems import Problem

BODY_SIZE_MAX = 1024 * 1024
PARAMETERS_MAX = 32
YEARS = range(1970, 2200)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its offset; bodies that hold one outside 1970..2199 (in UTC) are refused."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What request bodies derive from: unknown members are refused, at every depth."""


class NoBody(Body, frozen=True, kw_only=True):
    """The body of a command that takes none: nothing at all, or `{}`."""


class StrictRequest(Request[Caller, None, State]):
    """A request whose JSON body is decoded strictly, and only after everything else was judged.

    A route may name a check with `opt={"headers": parse}`: `parse(request)` is called once before the body
    is decoded, because a malformed header (400) comes before a wrong body (422); what it returns is kept
    as `request.parsed`. Routes without a body call what they need themselves.
    """

    parsed: Any = None
    _body_was_empty = False

    @property
    def caller(self) -> Caller:
        """Who sent the request."""
        return self.user

    async def body(self) -> bytes:
        """The body, at most 1 MiB; an empty one reads as `{}` where every member is optional.

        Raises:
            Problem: content-too-large, or malformed-json where a body is needed and there is none.
        """
        if self._body is Empty:
            raw = await self._receive_body()
            if not raw and (reader := self._reader()) is not None:
                self._body_was_empty = True
                raw = reader.of_nothing()
            self._body = raw
        return self._body

    async def json(self) -> Any:
        """The body as the struct its route asks for.

        Raises:
            Problem: 413, 415, 400 or 422, in this order.
        """
        raw = await self.body()
        if not self._body_was_empty:
            _refuse_other_media_types(self.scope)
        _, facts = self.scope["booking.route"]  # type: ignore[typeddict-item]
        refuse_other_parameters(self.scope, facts.parameters)
        if facts.headers is not None:
            self.parsed = facts.headers(self)
        reader = self._reader()
        return None if reader is None else reader.read(raw)

    def _reader(self) -> "BodyReader | None":
        field = self.route_handler.parsed_data_field
        return None if field is None else reader_of(field.annotation)

    async def _receive_body(self) -> bytes:
        message: Any = await self.receive()
        raw: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(raw) <= BODY_SIZE_MAX:
            return raw
        announced = header(self.scope, b"content-length")
        chunks, size = [raw], len(raw)
        if announced is not None and announced.isdigit() and int(announced) > BODY_SIZE_MAX:
            size = int(announced)
        while size <= BODY_SIZE_MAX and message.get("more_body", False):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Problem("malformed-json", "The connection ended before the body did.")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if size > BODY_SIZE_MAX:
            raise Problem(
                "content-too-large", f"The body is larger than {BODY_SIZE_MAX} bytes (1 MiB)."
            )
        return b"".join(chunks)


class BodyReader:
    """Reads bodies of one type."""

    def __init__(self, kind: Any) -> None:
        """Takes the type as the route annotates it."""
        self._decoder = msgspec.json.Decoder(kind)
        structs, self._holds_moments = _inside(msgspec.inspect.type_info(kind))
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
            raise _invalid(*_pointer_and_detail(str(error))) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(error) from error
        if b"\\u0000" in raw or self._holds_moments:
            _refuse_bad_leaves(value)
        return value


@cache
def reader_of(kind: Any) -> BodyReader:
    """The reader of a type; one per type and process."""
    return BodyReader(kind)


def header(scope: Scope, name: bytes) -> str | None:
    """The one value of a header; None where it was not sent.

    Args:
        scope: the request's.
        name: in lower case.

    Raises:
        Problem: invalid-header, when it was sent twice.
    """
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Problem("invalid-header", f"The header {name.decode()} was sent more than once.")
    return values[0].decode("latin-1").strip() if values else None


def header_list(scope: Scope, name: bytes) -> list[str]:
    """The elements of a header that is a list, from all its lines; commas inside quotes do not separate."""
    elements: list[str] = []
    for key, value in scope["headers"]:
        if key == name:
            elements += _split_outside_quotes(value.decode("latin-1"))
    return [element for element in elements if element]


def entity_tags(scope: Scope, name: bytes) -> list[str] | None:
    """The entity tags of `If-Match` or `If-None-Match`, as sent (`"7"`, `W/"7"`); None for `*` or no header.

    Raises:
        Problem: invalid-header, when an element is no entity tag or `*` stands beside others.
    """
    elements = header_list(scope, name)
    if elements in ([], ["*"]):
        if not elements and any(key == name for key, _ in scope["headers"]):
            raise Problem("invalid-header", f"The header {name.decode()} is empty.")
        return None
    for element in elements:
        opaque = element.removeprefix("W/")
        if len(opaque) < 2 or opaque[0] != '"' or opaque[-1] != '"' or '"' in opaque[1:-1]:
            raise Problem(
                "invalid-header", f'{name.decode()}: {element!r} is no entity tag such as "7".'
            )
    return elements


def refuse_other_parameters(scope: Scope, known: frozenset[str]) -> None:
    """Refuses query parameters a route does not know, or that were sent twice.

    Raises:
        Problem: invalid-parameter.
    """
    if scope["query_string"]:
        parameters(scope, known)


def parameters(scope: Scope, known: frozenset[str]) -> dict[str, str]:
    """The query parameters of a request.

    Raises:
        Problem: invalid-parameter, when one is unknown, repeated, or no text.
    """
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError as error:
        raise Problem("invalid-parameter", "The query string cannot be read.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            expected = f"known are {', '.join(sorted(known))}" if known else "none is known here"
            raise Problem("invalid-parameter", f"Unknown query parameter {name!r}; {expected}.")
        if name in found:
            raise Problem("invalid-parameter", f"The query parameter {name!r} was sent twice.")
        if "\x00" in value:
            raise Problem("invalid-parameter", f"The query parameter {name!r} contains NUL.")
        found[name] = value
    return found


HeaderCheck = Callable[[StrictRequest], Any]


def _refuse_other_media_types(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value == b"application/json":
                return
            kind, _, options = value.decode("latin-1").lower().partition(";")
            charset = options.replace(" ", "").replace('"', "")
            if kind.strip() == "application/json" and charset in ("", "charset=utf-8"):
                return
            raise Problem(
                "unsupported-media-type",
                f"The body is sent as {value.decode('latin-1')!r}, not as application/json.",
                headers=[(b"accept", b"application/json")],
            )
    raise Problem("unsupported-media-type", "The body has no Content-Type; send application/json.")


def _split_outside_quotes(text: str) -> Iterator[str]:
    start, quoted = 0, False
    for index, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            yield text[start:index].strip()
            start = index + 1
    yield text[start:].strip()


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
    detail, _, path = message.partition(" - at `$")
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
        if isinstance(leaf, datetime) and not _is_in_range(leaf):
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


def _is_in_range(moment: datetime) -> bool:
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
