"""What is published: an OpenAPI document that promises what the edge enforces, and pages for readers."""

import json
import re

import msgspec
import pytest
from a_tiny_part import NOTHING_COMMITTED, REFUSED, Streams, tiny_part
from litestar import get, post
from litestar.params import JSONBody
from msgspec import defstruct

from booking.edge.answers import Answer
from booking.edge.parts import Part
from booking.edge.problems import table_of
from booking.edge.published import documents_of, main, publish, stale
from booking.edge.requests import Body, StrictRequest
from booking.edge.serving import http_app


class Box(msgspec.Struct):
    volume: int


def boxes_told(answer: type, also: type | None = None) -> Part:
    """A Part whose routes take one Box and answer with another."""
    sent = defstruct("Box", [("sides", int)], bases=(Body,), module="sent", kw_only=True)

    @post("/v1/boxes", opt={"answers": {201: answer, 200: also}})
    async def make_box(request: StrictRequest, data: JSONBody[sent]) -> Answer:
        """Make a box."""
        return Answer(201, b"{}")

    return Part(name="boxes", handlers=[make_box])


def unpublished(*parts: Part):
    """An application of which nothing is committed."""
    app = http_app(*parts, environment="development")
    app.published._folder = NOTHING_COMMITTED
    return app


def document(app) -> dict:
    return json.loads(app.published.openapi)


@pytest.fixture
def app(tmp_path):
    app = http_app(tiny_part(), Streams().part(), environment="development")
    app.published._folder = tmp_path
    return app


def test_the_document_tells_limits_and_refused_members(app):
    schemas = document(app)["components"]["schemas"]
    assert schemas["Line"]["properties"]["units"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 10_000,
    }
    assert schemas["Line"]["additionalProperties"] is False
    assert schemas["NewThing"]["required"] == ["name"]


def test_the_document_tells_every_answer_and_every_error(app):
    operation = document(app)["paths"]["/v1/things"]["post"]
    assert operation["summary"] == "Make a thing"
    assert operation["security"] == [{"api_key": []}]
    assert operation["requestBody"]["required"] is True
    answers = operation["responses"]
    assert set(answers) == {
        "201",
        "400",
        "401",
        "403",
        "408",
        "409",
        "413",
        "415",
        "422",
        "429",
        "500",
        "503",
    }
    assert answers["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/Thing")
    assert "`thing-refused`" in answers["409"]["description"]
    assert "application/problem+json" in answers["409"]["content"]
    assert "Retry-After" in answers["429"]["headers"]
    touch = document(app)["paths"]["/v1/things/{thing_id}/touch"]["post"]
    assert touch["requestBody"]["required"] is False


def test_the_document_tells_what_each_problem_carries(app):
    schema = document(app)["components"]["schemas"]["ThingRefusedProblem"]
    assert schema["properties"]["type"]["const"] == "/problems/thing-refused"
    assert schema["properties"]["status"]["const"] == 409
    assert schema["properties"]["used"] == {"type": "integer"}
    assert {"detail", "trace_id", "used"} <= set(schema["required"])
    answers = document(app)["paths"]["/v1/things"]["post"]["responses"]
    assert answers["409"]["content"]["application/problem+json"]["schema"] == {
        "$ref": "#/components/schemas/ThingRefusedProblem"
    }
    assert set(answers["409"]["headers"]) == {"ETag"}
    assert set(answers["401"]["headers"]) == set(answers["403"]["headers"]) == {"WWW-Authenticate"}
    assert set(answers["415"]["headers"]) == {"Accept", "Accept-Encoding"}


def test_where_an_answer_may_be_several_problems_all_their_schemas_are_told(app):
    bad = document(app)["paths"]["/v1/things"]["post"]["responses"]["400"]
    shown = {each["$ref"] for each in bad["content"]["application/problem+json"]["schema"]["anyOf"]}
    assert "#/components/schemas/MalformedJsonProblem" in shown
    assert "#/components/schemas/InvalidHeaderProblem" in shown


def test_what_only_one_part_says_of_a_problem_is_optional():
    other = Part(name="other", handlers=[], problems=table_of(REFUSED))
    schemas = document(unpublished(tiny_part(), other))["components"]["schemas"]
    assert "used" in schemas["ThingRefusedProblem"]["properties"]
    assert "used" not in schemas["ThingRefusedProblem"]["required"]


def test_the_document_tells_how_another_method_is_refused(app):
    refused = document(app)["components"]["responses"]["MethodNotAllowed"]
    assert "`method-not-allowed`" in refused["description"]
    assert "Allow" in refused["headers"]


def test_of_two_types_with_one_name_what_clients_send_is_the_new_one():
    schemas = document(unpublished(boxes_told(Box)))["components"]["schemas"]
    assert schemas["NewBox"]["properties"] == {"sides": {"type": "integer"}}
    assert schemas["Box"]["properties"] == {"volume": {"type": "integer"}}
    assert schemas["NewBox"]["title"] == "NewBox"


def test_two_answers_with_one_name_are_noticed_when_publishing():
    another = defstruct("Box", [("colour", str)], module="another")
    with pytest.raises(ValueError, match="the same names"):
        documents_of(unpublished(boxes_told(Box, also=another)))


def test_the_document_tells_parameters_with_limits_and_defaults(app):
    operation = document(app)["paths"]["/v1/things/{thing_id}"]["get"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert parameters["thing_id"]["schema"] == {"type": "string", "format": "uuid"}
    assert parameters["limit"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "default": 100,
    }
    assert parameters["slot_id"]["explode"] is False
    assert {"from", "limit", "slot_id", "thing_id"} == set(parameters)
    assert "ThingQuery" not in document(app)["components"]["schemas"]


def test_every_reference_in_the_document_leads_somewhere(app):
    text = app.published.openapi.decode()
    schemas = document(app)["components"]["schemas"]
    assert {ref.rpartition("/")[2] for ref in re.findall(r'"\$ref": "([^"]+)"', text)} <= set(
        schemas
    )
    operations = [op for methods in document(app)["paths"].values() for op in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_a_problem_no_table_explains_is_noticed_when_publishing():
    @get("/v1/odd", opt={"problems": ("never-heard-of",)})
    async def odd() -> None:
        """Answer oddly."""

    with pytest.raises(ValueError, match="never-heard-of"):
        documents_of(http_app(Part(name="odd", handlers=[odd])))


def test_an_option_nobody_reads_is_noticed_at_start():
    @get("/v1/odd", opt={"scope": "read"})
    async def odd() -> None:
        """Answer oddly."""

    with pytest.raises(TypeError, match="unknown options: scope"):
        http_app(Part(name="odd", handlers=[odd]))


async def test_readers_get_one_page_that_needs_nothing_from_elsewhere(tiny):
    page = await tiny.get("/schema")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert not re.findall(r'(?:src|href)="(?!#|/)', page.text)


async def test_programs_get_the_document(tiny):
    answer = await tiny.get("/schema/openapi.json")
    assert answer.json()["openapi"] == "3.1.0"


def test_what_is_published_is_served_also_by_a_process_that_has_only_one_side(tmp_path):
    whole = http_app(tiny_part(), Streams().part(), environment="development")
    assert sorted(publish(whole, tmp_path)) == ["openapi.json", "problems.json"]
    assert publish(whole, tmp_path) == []
    half = http_app(Streams().part(), environment="development")
    half.published._folder = tmp_path
    assert half.published.openapi == (tmp_path / "openapi.json").read_bytes()
    assert half.published.problems["thing-refused"].title == "Refused"
    assert stale(half, tmp_path) == ["openapi.json", "problems.json"]


def test_publishing_takes_the_function_that_makes_the_application(capsys):
    assert main([]) == 2
    assert "module:function" in capsys.readouterr().out
