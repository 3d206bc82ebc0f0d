"""The documents that every process serves say what the system of today does, both sides together."""

import json

import pytest

import booking.app
import projector.app
from booking.all_in_one import on_paper
from booking.edge import published
from booking.edge.serving import http_app


def test_the_committed_documents_are_those_of_the_application_of_today():
    behind = published.stale(on_paper())
    assert not behind, (
        f"{', '.join(behind)}: run `python -m booking.edge.published booking.all_in_one:on_paper`"
    )


def test_both_sides_stand_in_one_document():
    paths = json.loads((published.FOLDER / published.OPENAPI).read_bytes())["paths"]
    assert "post" in paths["/v1/bookings"]  # the write side's
    assert "get" in paths["/v1/availability"]  # the read side's
    assert "get" in paths["/health/ready"]  # everybody's


@pytest.mark.parametrize("side", [booking.app.part_on_paper, projector.app.part_on_paper])
def test_a_process_of_one_side_publishes_both(side):
    process = http_app(side())
    assert process.published.openapi == (published.FOLDER / published.OPENAPI).read_bytes()
    assert {"capacity-exceeded", "read-model-behind"} <= process.published.problems.keys()
