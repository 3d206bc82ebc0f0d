"""What a newcomer waits for, measured: clones this checkout into a throw-away directory and does what the README says.

Three steps, each with its limit: `make demo` with everything it has to install, `make test`, and `make demo` again, whose first
line and first answered request are timed. Needs git, make, Python 3.11 or newer, and whatever the installation downloads from.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

DEMO_LIMIT_S = 120
TEST_LIMIT_S = 300
FIRST_LINE_LIMIT_S = 1.0
FIRST_REQUEST_LIMIT_S = 3.0


def make(target: str, clone: Path, *, limit_s: float) -> tuple[float, float]:
    """Runs a target; seconds to the end and to the first line. Ends this program when it fails or takes longer than `limit_s`."""
    print(f"$ make {target}", flush=True)
    began_s = time.monotonic()
    child = subprocess.Popen(
        ["timeout", str(limit_s), "make", target],
        cwd=clone,
        env=bare_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    first_line_s = 0.0
    for line in child.stdout or ():
        first_line_s = first_line_s or time.monotonic() - began_s
        print(f"  {line}", end="", flush=True)
    code = child.wait()
    seconds = time.monotonic() - began_s
    print(f"  make {target}: {seconds:.1f} s, first line after {first_line_s:.2f} s", flush=True)
    if code == 124:
        sys.exit(f"make {target} took longer than {limit_s} s.")
    if code != 0:
        sys.exit(f"make {target} ended with exit code {code}.")
    return seconds, first_line_s


def bare_environment() -> dict[str, str]:
    """A newcomer's environment: nothing of this checkout's virtual environment, nothing of a make that runs this."""
    ours = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL")}
    places = [place for place in kept.get("PATH", os.defpath).split(os.pathsep) if place != ours]
    return kept | {"PATH": os.pathsep.join(places)}


def first_answered(clone: Path) -> datetime:
    """When the newest demo's first request had been decided, by the clock of the database, which is this machine's."""
    newest = max((clone / "reports").iterdir(), key=lambda run: run.stat().st_mtime)
    events = [line for file in newest.rglob("events-*.jsonl") for line in file.read_text().splitlines()]
    return min(datetime.fromisoformat(json.loads(event)["recorded_at"]) for event in events)


def main() -> int:
    """Exit code 0: every limit was kept."""
    folder = Path(tempfile.mkdtemp(prefix="fresh-clone-"))
    clone = folder / "clone"
    try:
        here = Path(__file__).resolve().parents[1]
        subprocess.run(["git", "clone", "--quiet", str(here), str(clone)], check=True)
        demo_s, _ = make("demo", clone, limit_s=DEMO_LIMIT_S)
        test_s, _ = make("test", clone, limit_s=TEST_LIMIT_S)
        began_at = datetime.now(UTC)
        _, line_s = make("demo", clone, limit_s=DEMO_LIMIT_S)
        request_s = (first_answered(clone) - began_at).total_seconds()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"make demo {demo_s:.0f} s with installation, make test {test_s:.0f} s, "
        f"make demo again: first line after {line_s:.2f} s, first request answered after {request_s:.1f} s"
    )
    return 0 if line_s <= FIRST_LINE_LIMIT_S and request_s <= FIRST_REQUEST_LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
