"""What a run was asked to do and where it was made: `run.json`, the first file of its folder."""

import platform
from datetime import datetime
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

import msgspec
from msgspec import Struct

from loadtest.failures import CannotRunError

RUN = "run.json"


class Asked(Struct, frozen=True, kw_only=True):
    """What a run was asked to do and where it ran; `run.json`."""

    seed: int
    started_at: datetime
    reproduce: str
    environment: dict[str, str]
    scenarios: list[str]
    target: str | None = None
    controls: dict[str, str] = {}
    seconds: float = 0.0
    complete: bool = False


def environment() -> dict[str, str]:
    """Where a run was made."""
    return {
        "version": version("eventual-booking"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": f"{platform.machine()}, {cpu_count()} cores",
    }


def read_asked(out: Path) -> Asked:
    """What a run on disk was asked to do.

    Raises:
        CannotRunError: there is no run of this version.
    """
    try:
        return msgspec.json.decode((out / RUN).read_bytes(), type=Asked)
    except OSError:
        raise CannotRunError(
            f"{out} has no {RUN}: give the directory of a run or of a bench (its `--out`)."
        ) from None
    except msgspec.DecodeError as error:
        raise CannotRunError(
            f"{out / RUN} is of another version ({error}): run it again."
        ) from None
