"""What a process counts of itself (`/metrics`), as numbers by name: for what answers do not tell, such as how large batches were."""

import re
from collections.abc import Mapping

from loadtest.driver import Client
from loadtest.failures import CannotRunError

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')

Samples = Mapping[tuple[str, str], float]
"""By name and one label's value; those that differ in other labels are added up."""


async def read_metrics(url: str, *, label: str) -> dict[tuple[str, str], float]:
    """The samples of a process, told apart by one label ("" where a sample has none).

    Raises:
        CannotRunError: it does not say.
    """
    async with Client(url, connections_max=1, timeout_s=5.0) as client:
        answer = await client.request("GET", "/metrics")
    if answer.status != 200:
        raise CannotRunError(f"{url} does not tell its metrics ({answer.status}).")
    return samples(answer.body.decode(), label=label)


def samples(text: str, *, label: str) -> dict[tuple[str, str], float]:
    """The samples in a text of metrics (Prometheus' text format)."""
    found: dict[tuple[str, str], float] = {}
    for name, labels, value in SAMPLE.findall(text):
        key = (name, dict(LABEL.findall(labels)).get(label, ""))
        found[key] = found.get(key, 0.0) + float(value)
    return found
