"""Whatever bytes arrive, reading them ends in a value or in a problem, never in anything else."""

import json
from collections.abc import Callable
from datetime import UTC
from typing import Any

from a_tiny_part import NewThing, ThingQuery
from hypothesis import example, given
from hypothesis import strategies as st

from booking.edge.bodies import reader_of
from booking.edge.headers import entity_tags, header_list
from booking.edge.parameters import read_parameters
from booking.edge.problems import Problem
from booking.edge.trace import trace_id, traceparent

texts = st.text(max_size=20) | st.sampled_from(
    [
        "9999-12-31T23:59:59-01:00",
        "2030-01-01T00:00:00Z",
        "\x00",
        "0190a0b0-0000-7000-8000-000000000000",
    ]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "lines", "starts_at", "slot_id", "units"]) | texts,
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def outcome_of(reading: Callable[[], Any]) -> Any:
    """What was read, or the problem it was refused with; any other exception fails the test."""
    try:
        return reading()
    except Problem as problem:
        return problem


def read(raw: bytes) -> NewThing | Problem:
    thing: NewThing | Problem = outcome_of(lambda: reader_of(NewThing).read(raw))
    if isinstance(thing, Problem):
        assert thing.slug in {"malformed-json", "invalid-request"}
    else:
        assert "\x00" not in thing.name
        if thing.starts_at is not None:
            assert 1970 <= thing.starts_at.astimezone(UTC).year <= 2199
    return thing


@given(st.binary(max_size=200))
@example(b'{"name":"a","starts_at":"0001-01-01T00:00:00+23:59"}')
def test_any_bytes_are_a_thing_or_a_problem(raw):
    read(raw)


@given(values)
def test_any_json_is_a_thing_or_a_problem(value):
    read(json.dumps(value).encode())


@given(st.dictionaries(texts, values, max_size=3), st.text(min_size=1, max_size=200))
def test_one_wrong_member_makes_the_whole_wrong(more, name):
    found = read(json.dumps({"name": name, "strange": 1, **more}).encode())
    assert isinstance(found, Problem)


@given(st.binary(max_size=80) | st.sampled_from([b"from=1e400", b"from=-1e99", b"limit=\xff"]))
def test_any_query_string_is_a_query_or_a_problem(query_string):
    scope: Any = {"query_string": query_string}
    query = outcome_of(lambda: read_parameters(scope, ThingQuery))
    assert query.slug == "invalid-parameter" if isinstance(query, Problem) else query.limit > 0


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_any_header_is_understood_or_a_problem(lines):
    scope: Any = {"headers": [(b"if-match", line) for line in lines]}
    header_list(scope, b"if-match")
    tags = outcome_of(lambda: entity_tags(scope, b"if-match"))
    if isinstance(tags, Problem):
        assert tags.slug == "invalid-header"
    else:
        assert tags is None or all(tag.endswith('"') for tag in tags)


@given(st.binary(max_size=60))
def test_any_traceparent_leads_to_one_trace(value):
    scope: Any = {"headers": [(b"traceparent", value)]}
    assert len(trace_id(scope)) == 32
    assert trace_id(scope) == trace_id(scope)
    sent = traceparent(scope)
    assert sent is None or trace_id(scope) in sent


def test_a_list_of_tags_may_hold_commas_inside_quotes():
    scope: Any = {"headers": [(b"if-match", b'"7", W/"8"'), (b"if-match", b'"a,b"')]}
    assert entity_tags(scope, b"if-match") == ['"7"', 'W/"8"', '"a,b"']
    assert entity_tags({"headers": [(b"if-match", b"*")]}, b"if-match") is None  # type: ignore[arg-type]  # all it looks at
