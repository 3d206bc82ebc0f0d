"""The rules of the house that no linter knows, each as a test whose name is the rule."""

import ast
import re
from pathlib import Path

HOUSE = Path(__file__).parent.parent
ROOMS = ("booking", "projector", "loadtest")


def modules():
    return [file for room in ROOMS for file in sorted((HOUSE / room).rglob("*.py"))]


def test_there_is_no_drawer_for_things_without_a_name():
    drawers = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc", "lib"}
    found = [str(f) for f in modules() if drawers & {part.removesuffix(".py") for part in f.parts}]
    assert not found, f"name what these hold, or put it beside its only user: {found}"


def test_every_module_says_what_it_is_for():
    silent = [
        str(f.relative_to(HOUSE))
        for f in modules()
        if f.stat().st_size and not ast.get_docstring(ast.parse(f.read_text()))
    ]
    assert not silent, f"begin with two or three sentences: {silent}"


def test_sql_stands_only_where_data_is_guarded_or_read():
    """In this project the statement is the guard, so it stands where a reader looks for guards."""
    allowed = re.compile(
        r"booking/(guards|relay|audit)/|booking/keys\.py"  # keys: an operator's own table
        r"|booking/edge/(database|migrations)\.py"  # roles, clock and history, no data of ours
        r"|projector/(projections|queries|guards)/|projector/log_reader\.py"
        r"|projector/consumer/checkpoint\.py"
        r"|projector/(rebuild|verify|dead_letters)/"  # whole tables are their matter
        r"|loadtest/bench/"  # the baseline's own tables
        r"|loadtest/instruments/(server_load|sold_by_the_log)\.py"  # what Postgres counts, and the log in short
    )
    statement = re.compile(
        r"^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w[\w.]*\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS)",
        re.DOTALL,
    )
    found = []
    for file in modules():
        name = str(file.relative_to(HOUSE))
        if allowed.match(name):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and statement.match(text):
                found.append(f"{name}:{node.lineno}")
    assert not found, f"move these statements to where they guard or read: {found}"


def test_the_read_side_knows_only_events_and_the_edge_of_the_write_side():
    found = [
        f"{file.relative_to(HOUSE)}: {module}"
        for file in sorted((HOUSE / "projector").rglob("*.py"))
        for module in imported(file)
        if module.startswith("booking")
        and not module.startswith(("booking.events", "booking.edge"))
    ]
    assert not found, f"the read side sees `published.*` and what is said, nothing else: {found}"


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_nothing_is_left_to_be_done_later():
    later = re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError")
    found = [str(f) for f in modules() if later.search(f.read_text())]
    assert not found


def test_each_exception_from_a_rule_has_its_reason_on_the_line():
    exception = re.compile(r"# (?:ruff: )?noqa: [A-Z0-9, ]+|# type: ignore\[[a-z, -]+\]")
    silent = [
        f"{f.relative_to(HOUSE)}:{number}"
        for room in (*ROOMS, "tests", "docs")
        for f in sorted((HOUSE / room).rglob("*.py"))
        for number, line in enumerate(f.read_text().splitlines(), 1)
        if exception.search(line) and not re.search("[a-z]{2}", exception.split(line)[-1])
    ]
    assert silent == [], f"say after the code why it is right here: {silent}"


def test_no_test_waits_a_fixed_time():
    """Waiting goes through `eventually`, which polls with a deadline."""
    found = [
        f"{f.relative_to(HOUSE)}:{number}"
        for f in sorted((HOUSE / "tests").rglob("*.py"))
        if f.name not in {"eventually.py", Path(__file__).name}
        for number, line in enumerate(f.read_text().splitlines(), 1)
        if re.search(r"(asyncio|time)\.sleep\((?!0\))", line)
        or re.search(r"eventually\(.*\b(time|monotonic)\(\) *[<>]", line)
        if "polls:" not in line
    ]
    assert not found, (
        f"poll with a deadline instead (or say on the line why: `# polls: …`): {found}"
    )


def test_the_lock_names_no_registry():
    lock = (HOUSE / "requirements.lock").read_text()
    assert not re.search(r"https?://|--index|--find-links", lock)
