"""Errors over HTTP: RFC 9457 problem details, one table of types, one way to answer.

`PROBLEMS` holds the types any part of the system may meet at its edge; each Part brings its own table.
A type's slug is its identity (`/problems/<slug>` explains it), and its status and title come from the
table, so one slug cannot mean two things.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from litestar.types import Scope

from booking.edge.answers import Answer
from booking.edge.trace import trace_id

PROBLEM_JSON = b"application/problem+json"
_IN_A_PATH = "/:@!$&'()*+,;="
"""May stand in a path as they are, beside letters, digits and `-._~` (RFC 3986, section 3.3)."""


class ProblemType(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of problem, as `/problems/<slug>` explains it."""

    slug: str
    title: str
    status: int
    meaning: str
    remedy: str


class Problem(Exception):
    """Ends a request with a problem answer; raised anywhere below the application.

    `answer_to` makes the same answer without raising, for handlers that refuse thousands of times a second.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Takes the type's slug, the sentence of this case, extra members, and raw response headers."""
        super().__init__(slug, detail)
        self.slug = slug
        self.detail = detail
        self.members: Mapping[str, Any] = members or {}
        self.headers = headers


def answer_to(problem: Problem, scope: Scope) -> Answer:
    """The answer to a problem, ready to be sent.

    429 and 503 carry `Retry-After: 1` unless the problem names another time.

    Raises:
        KeyError: no table of the application knows the slug, which is a defect.
    """
    table: Mapping[str, ProblemType] = scope["litestar_app"].problems  # type: ignore[attr-defined]  # ours has them
    kind = table[problem.slug]
    headers = list(problem.headers)
    if kind.status in (429, 503) and not any(name.lower() == b"retry-after" for name, _ in headers):
        headers.append((b"retry-after", b"1"))
    headers.append((b"cache-control", b"no-store"))
    body = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": quote(scope["path"], safe=_IN_A_PATH),
        "trace_id": trace_id(scope),
        **problem.members,
    }
    return Answer(kind.status, msgspec.json.encode(body), headers, media_type=PROBLEM_JSON)


def table_of(*types: ProblemType) -> dict[str, ProblemType]:
    """A table of problem types by slug.

    Raises:
        ValueError: one slug is explained twice, which is a defect.
    """
    table = {kind.slug: kind for kind in types}
    if len(table) < len(types):
        raise ValueError("One slug cannot mean two things.")
    return table


def together(
    first: Mapping[str, ProblemType], second: Mapping[str, ProblemType]
) -> dict[str, ProblemType]:
    """Two tables as one; where both explain a slug, the first one's words stand.

    Raises:
        ValueError: they give one slug two statuses.
    """
    if torn := [
        slug for slug in first.keys() & second.keys() if first[slug].status != second[slug].status
    ]:
        raise ValueError(f"one problem, two statuses: {', '.join(sorted(torn))}")
    return {**second, **first}


PROBLEMS = table_of(
    ProblemType(
        slug="unauthenticated",
        title="A valid API key is needed",
        status=401,
        meaning="The request carried no API key, or one that is unknown or revoked.",
        remedy="Send `Authorization: Bearer <api key>` with a live key; `booking keys create` makes one.",
    ),
    ProblemType(
        slug="insufficient-scope",
        title="The API key may not do this",
        status=403,
        meaning="The key is valid, but has none of the scopes this request needs.",
        remedy="Use a key with one of the scopes named in `required`.",
    ),
    ProblemType(
        slug="rate-limited",
        title="Too many requests",
        status=429,
        meaning="This key sent more requests to this process than its rate allows.",
        remedy="Wait for the seconds named in `Retry-After`, then send more slowly.",
    ),
    ProblemType(
        slug="request-timeout",
        title="The body did not come in time",
        status=408,
        meaning="A body was announced, and not all of it came within 30 s. Nothing has happened.",
        remedy="Send the request again, with the same `Idempotency-Key`, over a new connection.",
    ),
    ProblemType(
        slug="content-too-large",
        title="The body is too large",
        status=413,
        meaning="The body of the request is larger than 1 MiB.",
        remedy="Send fewer things at a time.",
    ),
    ProblemType(
        slug="unsupported-media-type",
        title="The body is not JSON",
        status=415,
        meaning="The request has a body whose `Content-Type` is not `application/json`, or one with a "
        "`Content-Encoding`, such as a compressed one.",
        remedy="Send JSON in UTF-8 with `Content-Type: application/json`, uncompressed.",
    ),
    ProblemType(
        slug="malformed-json",
        title="The body cannot be read as JSON",
        status=400,
        meaning="The body is not well-formed JSON in UTF-8, or is missing where one is needed.",
        remedy="Mend the body; `detail` says where reading stopped.",
    ),
    ProblemType(
        slug="invalid-request",
        title="The body is not what this request takes",
        status=422,
        meaning="The body is JSON, but not the documented one: a member is unknown, missing, of another "
        "type, or beyond its limits.",
        remedy="Mend what `errors` names: `pointer` is a JSON pointer into the body. Nothing was written.",
    ),
    ProblemType(
        slug="invalid-header",
        title="A header cannot be understood",
        status=400,
        meaning="A request header does not have the documented form.",
        remedy="Mend the header named in `detail`.",
    ),
    ProblemType(
        slug="invalid-parameter",
        title="A query parameter cannot be understood",
        status=400,
        meaning="A query parameter is unknown, repeated, missing, not of the documented form, or asks for more "
        "than is given at a time.",
        remedy="Mend the parameter named in `detail`; the parameters are listed at `/schema`.",
    ),
    ProblemType(
        slug="not-found",
        title="There is nothing at this address",
        status=404,
        meaning="No route has this path, or an id in it is not a UUID.",
        remedy="Compare the path with the list at `/schema`.",
    ),
    ProblemType(
        slug="method-not-allowed",
        title="The address does not take this method",
        status=405,
        meaning="The path exists, but not with this method.",
        remedy="Use one of the methods named in `Allow`.",
    ),
    ProblemType(
        slug="not-ready",
        title="The process is not ready to serve",
        status=503,
        meaning="Something the process needs is missing; `missing` names it.",
        remedy="Provide what is missing; where it is `api-keys`, `booking keys create` makes the first one.",
    ),
    ProblemType(
        slug="draining",
        title="The process is about to end",
        status=503,
        meaning="The process has been asked to stop and takes nothing new; nothing has happened.",
        remedy="Send the request again; another process or the next one will take it.",
    ),
    ProblemType(
        slug="database-unavailable",
        title="The database cannot be reached",
        status=503,
        meaning="The database did not answer in time; `outcome` says whether the command may have happened.",
        remedy="Send the request again after `Retry-After`, with the same `Idempotency-Key`.",
    ),
    ProblemType(
        slug="internal-error",
        title="Something failed on our side",
        status=500,
        meaning="A defect. It has been logged under the `trace_id`.",
        remedy="Report the `trace_id`; whether a command happened can be asked with its key.",
    ),
)
