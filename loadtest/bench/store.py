"""A bench on disk: `bench.json` (the report), and `bench.html` made from it."""

from pathlib import Path

import msgspec

from loadtest.bench.figures import Report, as_written
from loadtest.bench.page import page
from loadtest.failures import CannotRunError

RESULT, PAGE = "bench.json", "bench.html"


def encoded(report: Report) -> bytes:
    """The report as JSON, with what follows from it."""
    return msgspec.json.format(msgspec.json.encode(as_written(report))) + b"\n"


def write(report: Report, out: Path) -> Path:
    """Writes both; returns the page's path.

    Raises:
        CannotRunError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RESULT).write_bytes(encoded(report))
        (out / PAGE).write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise CannotRunError(
            f"{out} cannot be written ({error.strerror}): give another --out."
        ) from error
    return out / PAGE


def read(out: Path) -> Report | None:
    """The bench that was kept in a folder, None where there is none.

    Raises:
        CannotRunError: it is of another version.
    """
    try:
        return msgspec.json.decode((out / RESULT).read_bytes(), type=Report)
    except OSError:
        return None
    except msgspec.DecodeError as error:
        raise CannotRunError(
            f"{out / RESULT} is not a result of this version ({error}): measure it again."
        ) from None
