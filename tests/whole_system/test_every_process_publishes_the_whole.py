"""The documents that every process serves say what the system of today does, both sides together."""

import json

import pytest

import booking.app
import projector.app
from booking.all_in_one import on_paper
from booking.edge import published
from booking.edge.serving import http_app

DOCUMENT = json.loads((published.FOLDER / published.OPENAPI).read_bytes())


def test_the_committed_documents_are_those_of_the_application_of_today():
    behind = published.stale(on_paper())
    assert not behind, (
        f"{', '.join(behind)}: run `python -m booking.edge.published booking.all_in_one:on_paper`"
    )


def test_types_are_described_as_text_whichever_python_published_them():
    described = {
        name: schema["description"]
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if "description" in schema
    }
    assert any("\n\n" in text for text in described.values())
    indented = [name for name, text in described.items() if "\n    " in text]
    assert not indented, "a reader of the pages would see these as program text"


def test_both_sides_stand_in_one_document():
    paths = DOCUMENT["paths"]
    assert "post" in paths["/v1/bookings"]  # the write side's
    assert "get" in paths["/v1/availability"]  # the read side's
    assert "get" in paths["/health/ready"]  # everybody's


def test_every_problem_that_is_explained_stands_in_the_document_with_what_it_carries():
    schemas = DOCUMENT["components"]["schemas"]
    shown = {
        schema["properties"]["type"]["const"]
        for name, schema in schemas.items()
        if name.endswith("Problem")
    }
    explained = json.loads((published.FOLDER / published.PROBLEM_TYPES).read_bytes())
    assert shown == {f"/problems/{kind['slug']}" for kind in explained}
    assert {"position", "as_of", "lines"} <= set(schemas["CapacityExceededProblem"]["required"])
    assert {"expected", "actual"} <= set(schemas["VersionMismatchProblem"]["required"])
    assert "allowed" in schemas["WrongStateProblem"]["required"]
    assert "errors" in schemas["InvalidRequestProblem"]["required"]


def test_refusals_of_commands_are_documented_with_their_headers():
    answers = DOCUMENT["paths"]["/v1/bookings/{booking_id}/reschedule"]["post"]["responses"]
    assert set(answers["404"]["headers"]) == {"Consistency-Token"}
    for status in ("409", "412", "428"):
        assert set(answers[status]["headers"]) == {"Consistency-Token", "ETag"}
    seen = DOCUMENT["paths"]["/v1/slots/{slot_id}"]["get"]["responses"]
    assert {"Age", "Consistency-Token"} <= set(seen["404"]["headers"])
    assert "Retry-After" in seen["412"]["headers"]


def test_every_command_is_documented_to_be_refused_where_the_laboratory_does_not_know_it():
    commands = [
        methods["post"]
        for path, methods in DOCUMENT["paths"].items()
        if "post" in methods and path != "/v1/tickets"
    ]
    assert len(commands) == 13
    for command in commands:
        assert "`not-in-this-arm`" in command["responses"]["501"]["description"]


def test_names_of_schemas_are_for_readers():
    assert {"NewPolicy", "Policy"} <= DOCUMENT["components"]["schemas"].keys()
    assert not [name for name in DOCUMENT["components"]["schemas"] if not name.isalnum()]


@pytest.mark.parametrize("side", [booking.app.part_on_paper, projector.app.part_on_paper])
def test_a_process_of_one_side_publishes_both(side):
    process = http_app(side())
    assert process.published.openapi == (published.FOLDER / published.OPENAPI).read_bytes()
    assert {"capacity-exceeded", "read-model-behind"} <= process.published.problems.keys()
