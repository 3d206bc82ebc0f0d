"""Reading query parameters: known ones, each once, within their limits; anything else is a 400 problem."""

from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar.types import Scope

from booking.edge.bodies import in_years, lists_of, moments_of
from booking.edge.problems import Problem

PARAMETERS_MAX = 32
_PARSED = "booking.parameters"
"""Where in a scope they are kept once they were parsed: whoever judges and whoever reads need them."""

Q = TypeVar("Q", bound=msgspec.Struct)


def read_parameters(scope: Scope, kind: type[Q]) -> Q:
    """The query parameters as a struct, whose member names are the parameters' and whose limits hold.

    Lists are separated by commas. A moment needs its offset, as in a body.

    Raises:
        Problem: invalid-parameter, naming it.
    """
    parsed: dict[str, str] | None = scope.get(_PARSED)  # type: ignore[assignment]  # put there below
    texts = (
        parameters(scope, frozenset(kind.__struct_encode_fields__)) if parsed is None else parsed
    )
    values: dict[str, Any] = dict(texts)
    for name in lists_of(kind) & texts.keys():
        values[name] = texts[name].split(",")
    for name in moments_of(kind) & texts.keys():
        if "T" not in texts[name].upper():  # the lax reading below takes a number for a moment
            raise Problem("invalid-parameter", f"{name}: {texts[name]!r} is no RFC 3339 time.")
    try:
        query = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    for field_name, name in _moment_fields(kind):
        if not in_years(getattr(query, field_name)):
            raise Problem("invalid-parameter", f"{name}: years are 1970 to 2199.")
    return query


@lru_cache
def _moment_fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Members that are moments, with their names as parameters: found once, it is a slow look."""
    return tuple(
        (field.name, field.encode_name)
        for field in msgspec.structs.fields(kind)
        if field.encode_name in moments_of(kind)
    )


def _invalid(message: str) -> Problem:
    detail, _, path = message.partition(" - at `$.")
    if not path:  # about the whole: a required parameter is missing
        missing = detail.removeprefix("Object missing required field `").rstrip("`")
        return Problem("invalid-parameter", f"The query parameter {missing!r} is required.")
    return Problem("invalid-parameter", f"{path.rstrip('`').partition('[')[0]}: {detail}.")


def refuse_other_parameters(scope: Scope, known: frozenset[str]) -> None:
    """Refuses query parameters a route does not know, or that were sent twice.

    Raises:
        Problem: invalid-parameter.
    """
    if scope["query_string"]:
        scope[_PARSED] = parameters(scope, known)  # type: ignore[literal-required]  # our own key


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
