"""The errors of an OpenAPI document: one schema per problem type, with the members and headers it carries.

What every problem has comes from RFC 9457; what a type adds is told by each Part (`Part.extras`), and by
`EXTRAS` for what any route may meet. A type that two Parts know carries what either of them says; what
only one of them says is optional.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from booking.edge.bodies import Moment
from booking.edge.problems import ProblemType

Document = dict[str, Any]

REFERENCE = "#/components/schemas/{name}"


class ProblemExtras(Struct, frozen=True, kw_only=True):
    """What a type of problem carries beside what every problem does."""

    members: tuple[type[Struct], ...] = ()
    """Structs whose fields are its members; a field that may be unset is one that may be left out."""

    headers: Mapping[str, str] = {}
    """Response headers and what they mean; the edge's own `Retry-After` of 429 and 503 goes without saying."""


class AsOf(Struct, frozen=True, kw_only=True):
    """Where the log stood, and when."""

    position: int
    as_of: Moment


class ScopesNeeded(Struct, frozen=True, kw_only=True):
    """Any of these would do."""

    required: list[str] | UnsetType = UNSET


class WrongPlace(Struct, frozen=True, kw_only=True):
    """A place in the body (JSON pointer), and what is wrong there."""

    pointer: str
    detail: str


class WrongPlaces(Struct, frozen=True, kw_only=True):
    """What is wrong with a body."""

    errors: list[WrongPlace]


class Missing(Struct, frozen=True, kw_only=True):
    """What a process lacks."""

    missing: list[str]


class Outcome(Struct, frozen=True, kw_only=True):
    """Whether the command may have happened."""

    outcome: Literal["did-not-happen", "may-have-happened"]


class OutcomeOfADefect(Struct, frozen=True, kw_only=True):
    """Whether the command may have happened, and the rule of the database that it ran into."""

    outcome: Literal["did-not-happen", "may-have-happened"] | UnsetType = UNSET
    constraint: str | UnsetType | None = UNSET


_CHALLENGE = {"WWW-Authenticate": "What would let the request in, as RFC 6750 says it."}
RETRY_AFTER = {"Retry-After": "Whole seconds, at least 1."}
EXTRAS: Mapping[str, ProblemExtras] = {
    "unauthenticated": ProblemExtras(headers=_CHALLENGE),
    "insufficient-scope": ProblemExtras(members=(ScopesNeeded,), headers=_CHALLENGE),
    "method-not-allowed": ProblemExtras(headers={"Allow": "The methods the address takes."}),
    "unsupported-media-type": ProblemExtras(
        headers={
            "Accept": "The media type that is taken, where another one was sent.",
            "Accept-Encoding": "The coding that is taken, where another one was sent.",
        }
    ),
    "invalid-request": ProblemExtras(members=(WrongPlaces,)),
    "not-ready": ProblemExtras(members=(Missing,)),
    "database-unavailable": ProblemExtras(members=(Outcome,)),
    "internal-error": ProblemExtras(members=(OutcomeOfADefect,)),
}
"""What the edge's own types carry, on every route."""

_OF_EVERY_PROBLEM: Document = {
    "title": {"type": "string"},
    "detail": {"type": "string"},
    "instance": {"type": "string", "format": "uri-reference"},
    "trace_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
}


def schema_name(slug: str) -> str:
    """The name of a problem type's schema: `capacity-exceeded` is CapacityExceededProblem."""
    return "".join(word.capitalize() for word in slug.split("-")) + "Problem"


def problem_schemas(told: Mapping[ProblemType, Sequence[ProblemExtras]]) -> Document:
    """The schemas of problem types by name, and of what their members are made of.

    Args:
        told: for each type what it carries, as everybody says who answers with it.
    """
    structs = list(
        dict.fromkeys(
            struct for all_extras in told.values() for one in all_extras for struct in one.members
        )
    )
    _, components = msgspec.json.schema_components(structs, ref_template=REFERENCE)
    shapes = {struct: components.pop(struct.__name__) for struct in structs}
    return components | {
        schema_name(kind.slug): _schema(kind, [_members(one, shapes) for one in all_extras])
        for kind, all_extras in told.items()
    }


def _members(
    extras: ProblemExtras, shapes: Mapping[type[Struct], Document]
) -> tuple[Document, list[str]]:
    """The schemas of the members that somebody tells of, and which are always there."""
    told = [shapes[struct] for struct in extras.members]
    members = {name: schema for shape in told for name, schema in shape["properties"].items()}
    return members, [name for shape in told for name in shape["required"]]


def _schema(kind: ProblemType, told: Sequence[tuple[Document, list[str]]]) -> Document:
    members = {
        name: schema for properties, _ in reversed(told) for name, schema in properties.items()
    }
    always = [name for name in members if all(name in required for _, required in told)]
    return {
        "title": schema_name(kind.slug),
        "description": f"{kind.title}. {kind.meaning}",
        "type": "object",
        "properties": {
            "type": {"type": "string", "const": f"/problems/{kind.slug}"},
            "status": {"type": "integer", "const": kind.status},
            **_OF_EVERY_PROBLEM,
            **members,
        },
        "required": ["type", "status", *_OF_EVERY_PROBLEM, *always],
    }


def failure(kinds: Sequence[ProblemType], told: Mapping[str, ProblemExtras]) -> Document:
    """The response of one status, with every type of problem that it may be."""
    schemas = [{"$ref": REFERENCE.format(name=schema_name(kind.slug))} for kind in kinds]
    response: Document = {
        "description": "\n".join(f"`{kind.slug}`: {kind.title}." for kind in kinds),
        "content": {
            "application/problem+json": {
                "schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
            }
        },
    }
    headers = dict(RETRY_AFTER) if kinds[0].status in (429, 503) else {}
    for kind in kinds:
        headers |= told[kind.slug].headers if kind.slug in told else {}
    if headers:
        response["headers"] = {
            name: _header(name, meaning) for name, meaning in sorted(headers.items())
        }
    return response


def _header(name: str, meaning: str) -> Document:
    whole = {"type": "integer", "minimum": 1} if name == "Retry-After" else {"type": "string"}
    return {"description": meaning, "schema": whole}
