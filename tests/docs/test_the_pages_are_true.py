"""docs/*.md: examples run, tables equal the code, links lead somewhere."""

from plain_http import plain_http
import re
from pathlib import Path

import httpx
import pytest
from examples import Terminal, examples
from msgspec.structs import fields

from booking.events import subjects
from booking.events.envelope import Event
from booking.events.facts import FACTS
from booking.events.messages import Changes, Heartbeat

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    REPOSITORY / name
    for name in (
        "README.md",
        "CHANGELOG.md",
        "docs/api.md",
        "docs/bench.md",
        "docs/claims.md",
        "docs/events.md",
        "docs/laboratory.md",
        "docs/operations.md",
        "docs/results.md",
        "docs/settings.md",
    )
]
EVENTS = (REPOSITORY / "docs/events.md").read_text()
API = (REPOSITORY / "docs/api.md").read_text()


@pytest.mark.parametrize("name", ["api", "events", "operations"])
async def test_every_example_of_a_page_prints_what_the_page_says(system, name):
    async with Terminal(system.folder, system.url) as terminal:
        for example in examples(REPOSITORY / f"docs/{name}.md"):
            await terminal.run(example)
        await terminal.finish()


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_event_type_and_its_data_are_on_the_page():
    rows = dict(re.findall(r"^\| `([A-Z]\w+)` \| (.+) \|$", EVENTS, re.MULTILINE))
    assert {kind: names(cell) for kind, cell in rows.items()} == {
        kind: [field.name for field in fields(struct)] for kind, struct in FACTS.items()
    }


def test_every_member_of_the_envelope_is_on_the_page():
    table = EVENTS.partition("| member | meaning |")[2].partition("\n\n")[0]
    first = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    assert [name for cell in first for name in names(cell)] == [f.name for f in fields(Event)]


def test_the_core_subjects_and_their_content_are_on_the_page():
    rows = dict(re.findall(r"^\| `(booking\.[\w.]+)` \| .+? \| (.+) \|$", EVENTS, re.MULTILINE))
    assert set(rows) == {subjects.WAKE, subjects.LOG_HEAD, subjects.AVAILABILITY_CHANGES}
    assert names(rows[subjects.LOG_HEAD]) == [f.name for f in fields(Heartbeat)]
    assert names(rows[subjects.AVAILABILITY_CHANGES]) == [f.name for f in fields(Changes)]
    assert f"`{subjects.STREAM}`" in EVENTS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue  # a test asks nobody outside
        file, _, heading = target.partition("#")
        there = page.parent / file if file else page
        assert there.is_file(), target
        if heading:
            anchors = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", a).lower().replace(" ", "-") for a in anchors}


async def served(system, path):
    async with plain_http(system.url, timeout=10) as client:
        return (await client.get(path)).json()


async def test_every_route_is_on_the_page_and_no_other(system):
    paths = (await served(system, "/schema/openapi.json"))["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(re.findall(r"`((?:GET|POST) /[^`]+)`", API)) == routes


async def test_every_error_is_on_the_page_and_no_other(system):
    rows = re.findall(r"^\| (\d{3}) \| `([\w-]+)` \| (.+) \|$", API, re.MULTILINE)
    problems = await served(system, "/problems")
    assert {(int(status), slug, title) for status, slug, title in rows} == {
        (each["status"], each["slug"], each["title"]) for each in problems
    }
    assert len(rows) == len(problems)
