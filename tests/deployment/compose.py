"""docker-compose.yml as an engine would read it, for machines without one."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = REPOSITORY / "docker-compose.yml"
SECRETS = {
    "POSTGRES_PASSWORD": "first-database-password",
    # What NATS would read as a number, a size, or a variable if it stood there without quotes.
    "NATS_API_PASSWORD": "12e4",
    "NATS_RELAY_PASSWORD": "64k",
    "NATS_PROJECTOR_PASSWORD": "0123456789",
    "NATS_QUERIES_PASSWORD": "true",
    "BOOKING_INITIAL_KEY": "first-key-of-this-test-0123456789",
}

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


class Missing(Exception):
    """A variable without default is not set: compose stops with the message it was given."""


def services(environ: Mapping[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    """The services with anchors and variables filled in."""
    return _filled(yaml.safe_load(COMPOSE_FILE.read_text()), environ)["services"]


def our_services(environ: Mapping[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    """Those that run our image."""
    return {name: each for name, each in services(environ).items() if "build" in each}


def _filled(node: Any, environ: Mapping[str, str]) -> Any:
    match node:
        case dict():
            return {name: _filled(each, environ) for name, each in node.items()}
        case list():
            return [_filled(each, environ) for each in node]
        case str():
            return _VARIABLE.sub(lambda found: _value(found, environ), node)
        case _:
            return node


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    value = environ.get(found["name"], "")
    if not value and found["kind"] == "?":
        raise Missing(found["name"], found["rest"])
    return value or found["rest"] or ""
