"""No container engine is needed to know that the compose file names only things that exist."""

import re
from urllib.parse import urlsplit

import pytest
import yaml
from compose import REPOSITORY, SECRETS, Missing, our_services, services

import booking.settings
import projector.settings
from booking.cli import booking as booking_command
from projector.cli import projector as projector_command

PROGRAMS = {"booking": booking_command, "projector": projector_command}
SETTINGS = {*booking.settings.NAMES.values(), *projector.settings.NAMES.values()}
OURS = sorted(our_services())


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_ours(name):
    program, command = our_services()[name]["command"]
    assert command in PROGRAMS[program].commands


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name):
    unknown = set(our_services()[name]["environment"]) - SETTINGS
    assert not unknown


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_every_process_starts_with_the_settings_it_is_given(name):
    service = our_services()[name]
    side = booking if service["command"][0] == "booking" else projector
    settings = side.settings.load_settings(
        {"BOOKING_DATA_DIR": "/nowhere", **service["environment"]}
    )
    assert settings.environment == "production"


@pytest.mark.parametrize("name", sorted(set(OURS) - {"migrate"}))
def test_every_health_check_asks_a_port_the_process_listens_on(name):
    service = our_services()[name]
    url = urlsplit(re.search(r"http://[^']+", service["healthcheck"]["test"][-1])[0])
    ports = [value for key, value in service["environment"].items() if key.endswith("_PORT")]
    assert str(url.port) in ports
    assert url.path == "/health/ready"


def test_the_sides_meet_at_the_names_and_ports_that_the_services_have():
    known = services()
    for name, service in our_services().items():
        for variable, value in service["environment"].items():
            if variable.endswith("_URL"):
                url = urlsplit(value)
                assert url.hostname in known, (name, variable)
                assert url.port == {"postgres": 5432, "nats": 4222}[url.hostname]
    gateway = (REPOSITORY / "deploy/gateway.conf").read_text()
    for upstream, port in re.findall(r"server ([\w-]+):(\d+);", gateway):
        assert port in our_services()[upstream]["environment"].values()
    listens = re.search(r"listen (\d+);", gateway)[1]
    assert services()["gateway"]["ports"] == [f"127.0.0.1:8080:{listens}"]


def test_whoever_needs_a_server_waits_for_its_health_and_for_the_schema():
    known = services()
    for name in set(OURS) - {"migrate"}:
        awaited = known[name]["depends_on"]
        assert awaited["migrate"]["condition"] == "service_completed_successfully"
        assert awaited["postgres"]["condition"] == awaited["nats"]["condition"] == "service_healthy"
    for service in known.values():
        awaits = service.get("depends_on", {})
        for awaited, how in awaits.items() if isinstance(awaits, dict) else ():
            assert how["condition"] != "service_healthy" or "healthcheck" in known[awaited]


def test_what_is_mounted_from_the_repository_is_there_and_read_only():
    mounted = [
        volume.split(":")
        for service in services().values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    for source, _, mode in mounted:
        assert (REPOSITORY / source).exists()
        assert mode == "ro"
    unused = {
        file.name
        for file in (REPOSITORY / "deploy").iterdir()
        if f"./deploy/{file.name}" not in {source for source, _, _ in mounted}
    }
    assert unused == {"env.example", "grafana"}


def test_data_outlives_its_containers():
    assert "postgres:/var/lib/postgresql" in services()["postgres"]["volumes"]
    assert "nats:/data" in services()["nats"]["volumes"]
    assert services()["nats"]["command"][-2:] == ["--store_dir", "/data"]


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_nothing_starts_without_a_secret_of_its_own(name):
    with pytest.raises(Missing) as missing:
        services({**SECRETS, name: ""})
    assert missing.value.args == (name, "see deploy/env.example")


def test_the_example_names_every_variable_and_gives_away_no_secret():
    lines = (REPOSITORY / "deploy/env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name for name, value in example.items() if not value} == set(SECRETS)
    used = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "docker-compose.yml").read_text()))
    assert set(example) == used


def test_only_gateway_and_dashboards_can_be_reached_and_only_from_this_machine():
    published = {name: each["ports"] for name, each in services().items() if "ports" in each}
    assert published == {"gateway": ["127.0.0.1:8080:8080"], "grafana": ["127.0.0.1:3000:3000"]}
    assert services()["grafana"]["profiles"] == ["monitoring"]


def test_every_process_of_ours_is_scraped_where_it_listens():
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load((REPOSITORY / "deploy/prometheus.yml").read_text())[
            "scrape_configs"
        ]
    }
    (found,) = jobs["booking"]["dns_sd_configs"]
    processes = {name: each for name, each in our_services().items() if name != "migrate"}
    assert set(found["names"]) == set(processes)
    for each in processes.values():
        ports = {v for k, v in each["environment"].items() if k.endswith("METRICS_PORT")}
        assert ports == {str(found["port"])}
