"""Settings: a mistake is told with the name of the variable, and never with a secret."""

import stat
from typing import Annotated, Literal

import msgspec
import pytest

from booking.edge.failures import Misconfigured, misconfiguration_in
from booking.edge.settings import RUN_FILE, RunFile, load, read_run_file, write_run_file

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Tiny(msgspec.Struct, frozen=True, kw_only=True):
    database_url: str
    port: Port = 8000
    environment: Literal["production", "development"] = "production"
    origins: list[str] = []
    verbose: bool = False


NAMES = {
    "database_url": "TINY_DATABASE_URL",
    "port": "TINY_PORT",
    "environment": "TINY_ENVIRONMENT",
    "origins": "TINY_ORIGINS",
    "verbose": "TINY_VERBOSE",
}
GOOD = {"TINY_DATABASE_URL": "postgres://u:secret@h/d"}


def test_what_is_set_is_read_and_the_rest_has_defaults():
    settings = load(Tiny, {**GOOD, "TINY_PORT": " 7 ", "TINY_ORIGINS": "a, b,"}, names=NAMES)
    assert (settings.port, settings.origins, settings.environment) == (7, ["a", "b"], "production")


def test_an_empty_variable_is_not_set():
    assert load(Tiny, {**GOOD, "TINY_PORT": ""}, names=NAMES).port == 8000


def test_a_default_of_the_caller_comes_before_that_of_the_struct():
    assert load(Tiny, {}, names=NAMES, defaults={"database_url": "d", "port": 1}).port == 1


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "TINY_DATABASE_URL is not set"),
        ({**GOOD, "TINY_PORT": "many"}, "TINY_PORT is 'many'"),
        ({**GOOD, "TINY_PORT": "65536"}, "TINY_PORT is '65536'.*65535"),
        (
            {**GOOD, "TINY_ENVIRONMENT": "prod"},
            "TINY_ENVIRONMENT is 'prod': use one of production, development",
        ),
        ({**GOOD, "TINY_VERBOSE": "perhaps"}, "TINY_VERBOSE"),
    ],
)
def test_a_mistake_names_the_variable(environ, said):
    with pytest.raises(Misconfigured, match=said):
        load(Tiny, environ, names=NAMES)


def test_a_misconfiguration_is_found_inside_a_group():
    group = ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [Misconfigured("this")])])
    assert str(misconfiguration_in(group)) == "this"
    assert misconfiguration_in(ValueError()) is None


RUN = RunFile(
    pid=1,
    url="u",
    database_url="d",
    migration_database_url="m",
    nats_url="n",
    nats_monitoring_url="o",
    metrics_url="p",
)


def test_a_run_file_is_read_back_and_only_its_owner_may_read_it(tmp_path):
    assert read_run_file(tmp_path) is None
    assert read_run_file(tmp_path / "nowhere") is None
    write_run_file(tmp_path, RUN)
    assert read_run_file(tmp_path) == RUN
    assert stat.S_IMODE((tmp_path / RUN_FILE).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [RUN_FILE]


def test_a_broken_run_file_is_a_sentence(tmp_path):
    (tmp_path / RUN_FILE).write_text("{")
    with pytest.raises(Misconfigured, match="BOOKING_DATA_DIR"):
        read_run_file(tmp_path)
