"""Dashboards and alerts ask for metrics that a running system shows and the operators' page explains."""

import re
from pathlib import Path

import pytest
from running import running
from sale import book, open_slot

REPOSITORY = Path(__file__).parents[2]
OURS = re.compile(r"\b(?:booking|projector|queries|http)_[a-z_]+")
WATCHED = ["alerts.yml", "grafana/dashboards/booking.json"]


def asked_for(file: str) -> set[str]:
    return {base(name) for name in OURS.findall((REPOSITORY / "deploy" / file).read_text())}


def base(name: str) -> str:
    """The metric a sample belongs to: histograms and counters have several samples."""
    return re.sub(r"_(bucket|sum|count|total)$", "", name)


@pytest.fixture(scope="module")
async def shown(tmp_path_factory) -> set[str]:
    async with running(tmp_path_factory.mktemp("watched") / "data") as up, up.client() as client:
        await book(client, await open_slot(client, capacity=1))
        page = await client.get(f"{up.run_file['metrics_url']}/metrics")
    return {base(line.split()[2]) for line in page.text.splitlines() if line.startswith("# TYPE ")}


@pytest.mark.parametrize("file", WATCHED)
async def test_every_metric_that_is_watched_is_shown_by_a_running_system(file, shown):
    assert asked_for(file) <= shown


async def test_the_operators_page_names_what_there_is_and_nothing_else(shown):
    page = (REPOSITORY / "docs/operations.md").read_text()
    named = {
        base(name)
        for row in re.findall(
            r"^\| (`(?:booking|projector|queries|http)_.+?) \|", page, re.MULTILINE
        )
        for name in OURS.findall(row)
    }
    assert named == {name for name in shown if OURS.match(name)}
