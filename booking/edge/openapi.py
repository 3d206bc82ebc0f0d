"""The OpenAPI 3.1 document of an application, made from what its routes actually enforce.

The framework's generator documents its own lax reading and its own errors. This one asks the decoder for
the schemas (limits, refused unknown members), the route's facts for keys, parameters and headers, and the
problem tables for every error, so the document cannot promise something else than the edge does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import metadata
from inspect import cleandoc
from typing import Any, Protocol, cast

import msgspec

from booking.edge.bodies import reader_of
from booking.edge.openapi_problems import (
    EXTRAS,
    REFERENCE,
    Document,
    ProblemExtras,
    failure,
    problem_schemas,
)
from booking.edge.parts import Part
from booking.edge.problems import PROBLEMS, Problem, ProblemType
from booking.edge.routes import RouteFacts

DISTRIBUTION = "eventual-booking"
REFUSED_EVERYWHERE = "method-not-allowed"
"""What no operation answers, because it is the answer where there is no operation."""

_TEXT: Document = {"type": "string"}
_HEADERS: Mapping[str, Document] = {
    "Idempotency-Key": {
        "type": "string",
        "pattern": r'^([A-Za-z0-9._~:-]{1,128}|"[A-Za-z0-9._~:-]{1,128}")$',
    }
}
"""Headers of which more can be said than that they are text."""
_REASONS = {200: "OK", 201: "Created", 204: "Nothing to say", 304: "Not modified"}


class Documented(Protocol):
    """An application, as far as documents are made from it."""

    @property
    def parts(self) -> Sequence[Part]:
        """What it is made of."""

    @property
    def problems(self) -> Mapping[str, ProblemType]:
        """The problem types its routes may answer with, by slug."""

    def route_facts(self) -> Iterator[RouteFacts]:
        """The facts of every route and method."""


def openapi_of(app: Documented) -> Document:
    """The document of an application.

    Raises:
        ValueError: a route names a problem no table explains, or two types would have one name.
    """
    shown = [
        facts
        for facts in app.route_facts()
        if facts.method != "OPTIONS" and facts.handler.resolve_include_in_schema()
    ]
    # What people come for first, then health and these documents.
    shown.sort(key=lambda facts: (facts.public, facts.template, facts.method))
    types = list(dict.fromkeys(kind for facts in shown for kind in _types_of(facts)))
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_anything, ref_template=REFERENCE
    )
    schema_of = dict(zip(types, schemas, strict=True))
    for component in components.values():
        # Before Python 3.13 a docstring comes as indented as it stands in the code.
        if (told := component.get("description")) is not None:
            component["description"] = cleandoc(told)
    about = metadata(DISTRIBUTION)
    paths: dict[str, Document] = {}
    for facts in shown:
        told = {**EXTRAS, **_extras_of(facts, app.parts)}
        operation = _operation(facts, app.problems, told, schema_of)
        paths.setdefault(facts.template, {})[facts.method.lower()] = operation
    refusals = problem_schemas(_told_of_problems(app, shown))
    if twice := components.keys() & refusals.keys():
        raise ValueError(f"Different types want the same names: {', '.join(sorted(twice))}.")
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": about["Name"],
            "version": about["Version"],
            "summary": about["Summary"],
            "description": "Every GET answers HEAD, too. Errors are problem details (RFC 9457); their "
            "schemas are named after their types. A method that an address does not take is answered as "
            "the response MethodNotAllowed says.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted({**components, **refusals}.items())),
            "responses": {"MethodNotAllowed": failure([app.problems[REFUSED_EVERYWHERE]], EXTRAS)},
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return _named_for_readers(document)


def _told_of_problems(
    app: Documented, shown: Iterable[RouteFacts]
) -> Mapping[ProblemType, Sequence[ProblemExtras]]:
    """Every type that is shown, and what those say it carries who may answer with it."""
    met = [REFUSED_EVERYWHERE, *(slug for facts in shown for slug in _problems_of(facts))]
    tables = [(PROBLEMS, EXTRAS), *((part.problems, part.extras) for part in app.parts)]
    return {
        app.problems[slug]: [
            extras.get(slug, ProblemExtras()) for problems, extras in tables if slug in problems
        ]
        for slug in met
    }


def _extras_of(facts: RouteFacts, parts: Sequence[Part]) -> Mapping[str, ProblemExtras]:
    """What the problems of a route carry, as the Part says that brings the route."""
    for part in parts:
        if any(handler.fn is facts.handler.fn for handler in part.handlers):
            return part.extras
    return {}


def _named_for_readers(document: Document) -> Document:
    """The document with short names only: of two types with one name, what clients send is `New…`.

    Raises:
        ValueError: that does not tell them apart.
    """
    schemas = document["components"]["schemas"]
    short = {
        name: f"New{schema['title']}"
        if schema.get("additionalProperties") is False
        else schema["title"]
        for name, schema in schemas.items()
        if "." in name
    }
    if len({*schemas, *short.values()}) < len(schemas) + len(short):
        raise ValueError(f"Different types want the same names: {', '.join(short)}.")
    for name, reader_s in short.items():
        schemas[name]["title"] = reader_s
    document["components"]["schemas"] = dict(
        sorted((short.get(name, name), schema) for name, schema in schemas.items())
    )
    references = {REFERENCE.format(name=name): REFERENCE.format(name=short[name]) for name in short}
    return cast("Document", _with_references(document, references))


def _with_references(tree: Any, references: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {name: _with_references(inner, references) for name, inner in tree.items()}
    if isinstance(tree, list):
        return [_with_references(inner, references) for inner in tree]
    return references.get(tree, tree) if isinstance(tree, str) else tree


def _anything(kind: type) -> Document:
    """What is passed through as it is has no shape to promise."""
    if kind in (object, msgspec.Raw):
        return {"description": "Any JSON value."}
    raise TypeError(f"{kind!r} has no JSON schema")


def _types_of(facts: RouteFacts) -> Iterable[Any]:
    if (field := facts.handler.parsed_data_field) is not None:
        yield field.annotation
    for kind in _answers_of(facts).values():
        if kind is not None and not isinstance(kind, str):
            yield kind
    for _, kind, _ in _parameters_of(facts):
        yield kind


def _answers_of(facts: RouteFacts) -> dict[int, Any]:
    specified = {
        status: spec.data_container for status, spec in (facts.handler.responses or {}).items()
    }
    return {**specified, **facts.handler.opt.get("answers", {})} or {200: None}


def _parameters_of(
    facts: RouteFacts,
) -> Iterable[tuple[str, Any, msgspec.structs.FieldInfo | None]]:
    query = facts.handler.opt.get("query")
    known = {field.encode_name: field for field in msgspec.structs.fields(query)} if query else {}
    for name, field in known.items():
        yield name, field.type, field
    arguments = facts.handler.parsed_fn_signature.parameters
    for name in sorted(facts.parameters - known.keys()):
        yield name, arguments[name].annotation if name in arguments else str, None


def _operation(
    facts: RouteFacts,
    problems: Mapping[str, ProblemType],
    told: Mapping[str, ProblemExtras],
    schema_of: Mapping[Any, Document],
) -> Document:
    summary, _, description = cleandoc(facts.handler.fn.__doc__ or "").partition("\n")
    if facts.scopes:
        description += f"\n\nNeeds one of the scopes: {', '.join(facts.scopes)}."
    operation: Document = {
        "operationId": facts.handler.operation_id or facts.handler.fn.__name__,
        "summary": summary.rstrip("."),
        "description": description.strip(),
        "security": [] if facts.public else [{"api_key": []}],
        "parameters": [
            *(
                {"name": name, "in": "path", "required": True, "schema": _path_schema(kind.type)}
                for name, kind in facts.route.path_parameters.items()
            ),
            *(
                _query_parameter(name, schema_of[kind], field)
                for name, kind, field in _parameters_of(facts)
            ),
            *(
                {
                    "name": name,
                    "in": "header",
                    "description": meaning,
                    "required": name in facts.handler.opt.get("required_headers", ()),
                    "schema": _HEADERS.get(name, _TEXT),
                }
                for name, meaning in facts.handler.opt.get("request_headers", {}).items()
            ),
        ],
        "responses": {
            **_successes(facts, schema_of),
            **_failures(facts, problems, told),
        },
    }
    if (field := facts.handler.parsed_data_field) is not None:
        operation["requestBody"] = {
            "required": _needs_body(field.annotation),
            "content": {"application/json": {"schema": schema_of[field.annotation]}},
        }
    return operation


def _path_schema(kind: Any) -> Document:
    return msgspec.json.schema(kind)


def _query_parameter(
    name: str, schema: Document, field: msgspec.structs.FieldInfo | None
) -> Document:
    parameter: Document = {"name": name, "in": "query", "required": False, "schema": schema}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}  # separated by commas, never repeated
    if field is not None:
        parameter["required"] = field.required
        if field.default not in (msgspec.NODEFAULT, None):
            parameter["schema"] = {**schema, "default": msgspec.to_builtins(field.default)}
    return parameter


def _successes(facts: RouteFacts, schema_of: Mapping[Any, Document]) -> Document:
    headers = {
        name: {"description": meaning, "schema": _TEXT}
        for name, meaning in facts.handler.opt.get("response_headers", {}).items()
    }
    successes: Document = {}
    for status, kind in _answers_of(facts).items():
        success: Document = {"description": _REASONS.get(status, "Done")}
        if headers:
            success["headers"] = headers
        if isinstance(kind, str):
            # A stream of events never ends, so there is no text to describe.
            success["content"] = {kind: {} if kind == "text/event-stream" else {"schema": _TEXT}}
        elif kind is not None:
            success["content"] = {"application/json": {"schema": schema_of[kind]}}
        successes[str(status)] = success
    return successes


def _problems_of(facts: RouteFacts) -> list[str]:
    """Every problem a route may answer: what the edge refuses for it, and what it names itself."""
    slugs = ["invalid-parameter", "invalid-header", "internal-error"]
    if not facts.public:
        slugs += ["unauthenticated", "rate-limited", "database-unavailable"]
    if facts.scopes:
        slugs += ["insufficient-scope"]
    if facts.route.path_parameters:
        slugs += ["not-found"]
    if facts.takes_body:
        slugs += [
            "request-timeout",
            "content-too-large",
            "unsupported-media-type",
            "malformed-json",
            "invalid-request",
        ]
    return list(dict.fromkeys([*slugs, *facts.handler.opt.get("problems", ())]))


def _failures(
    facts: RouteFacts, problems: Mapping[str, ProblemType], told: Mapping[str, ProblemExtras]
) -> Document:
    slugs = _problems_of(facts)
    if strangers := [slug for slug in slugs if slug not in problems]:
        raise ValueError(
            f"{facts.template} names problems no table explains: {', '.join(strangers)}"
        )
    kinds = [problems[slug] for slug in slugs]
    return {
        str(status): failure([kind for kind in kinds if kind.status == status], told)
        for status in sorted({kind.status for kind in kinds})
    }


def _needs_body(kind: Any) -> bool:
    try:
        reader_of(kind).of_nothing()
    except Problem:
        return True
    return False
