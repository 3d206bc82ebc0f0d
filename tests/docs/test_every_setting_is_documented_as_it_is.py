"""docs/settings.md against the structs that read the environment: the same names, the same defaults."""

import re
from pathlib import Path

import msgspec
import pytest

import booking.settings
import projector.settings
from booking.guards import GUARDS, THE_PRODUCTS

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/settings.md").read_text()
ROWS = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", PAGE, re.MULTILINE))
BETWEEN_PROCESSES = {"BOOKING_PARENT_PID"}
"""Set by `booking up` for its children; nobody else's business."""

DEFAULTS = {
    module.NAMES[field.name]: field.default if field.required is False else msgspec.NODEFAULT
    for module in (projector.settings, booking.settings)
    for field in msgspec.structs.fields(module.Settings)
}


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_setting_and_its_default_are_on_the_page(name):
    default = DEFAULTS[name]
    shown = f"`{default}`" if default not in (None, "", msgspec.NODEFAULT) else "–"
    assert ROWS[name] == shown


def test_the_page_names_no_setting_that_the_code_does_not_read():
    code = "".join(
        file.read_text()
        for folder in ("booking", "projector")
        for file in (REPOSITORY / folder).rglob("*.py")
    )
    read = set(re.findall(r"environ\.get\(\s*\"((?:BOOKING|PROJECTOR)_[A-Z_]+)\"", code))
    assert set(ROWS) == (read | set(DEFAULTS)) - BETWEEN_PROCESSES


def test_every_guard_is_on_the_page_beside_those_that_know_as_much():
    section = PAGE.partition("## Guards to do without")[2].partition("\n## ")[0]
    few, all_commands = section.split("The others decide as the product does")
    tables = [re.findall(r"`(?:BOOKING_GUARD)?=(\w+)`", table) for table in (few, all_commands)]
    know_all = [name for name, guard in GUARDS.items() if guard.complete and name != THE_PRODUCTS]
    assert sorted(tables[0]) == sorted(set(GUARDS) - set(know_all))
    assert sorted(tables[1]) == sorted(know_all)


def test_every_role_of_the_schema_is_explained():
    roles = (REPOSITORY / "booking/schema/0001_roles.sql").read_text()
    made = set(re.findall(r"'((?:booking|projector|query)_\w+)'", roles))
    assert made == set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))


def test_a_wrong_setting_is_named_in_one_sentence():
    with pytest.raises(booking.settings.Misconfigured) as mistake:
        booking.settings.load_settings(
            {"BOOKING_PORT": "eight thousand", "BOOKING_DATA_DIR": "/nowhere"}
        )
    assert "BOOKING_PORT" in str(mistake.value)
