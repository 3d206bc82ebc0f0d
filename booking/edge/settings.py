"""Settings from the environment, and the run file that stands in where they are missing.

A process describes its settings as one frozen struct; `load` fills it, and a mistake is reported with the
name of the variable, never with a field's. The run file is what a running `booking up` writes down, so
that every other command finds its servers without any setting at all.
"""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from booking.edge.failures import Misconfigured

S = TypeVar("S", bound=msgspec.Struct)

RUN_FILE = "run.json"

_FIELD = re.compile(r" - at `\$\.(\w+)(?:\[.*)?`$")
_MISSING = re.compile(r"missing required field `(\w+)`")
_SECRET = re.compile(r"URL|KEY|SECRET|PASSWORD")


def load(
    kind: type[S],
    environ: Mapping[str, str],
    *,
    names: Mapping[str, str],
    defaults: Mapping[str, Any] | None = None,
) -> S:
    """Builds a settings struct from environment variables.

    An empty variable counts as not set (compose files write `${X:-}`); lists are separated by commas.

    Args:
        kind: the struct; its constraints (`msgspec.Meta`) are checked.
        environ: usually `os.environ`; tests pass a dict.
        names: the variable of each field that has one.
        defaults: values for fields whose variable is not set, before the struct's own defaults.

    Raises:
        Misconfigured: names the variable and what it should have been.
    """
    values: dict[str, Any] = dict(defaults or {})
    lists = {
        field.name
        for field in msgspec.structs.fields(kind)
        if getattr(field.type, "__origin__", field.type) in (list, tuple, set, frozenset)
    }
    for field, variable in names.items():
        if text := environ.get(variable, "").strip():
            values[field] = (
                [part.strip() for part in text.split(",") if part.strip()]
                if field in lists
                else text
            )
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(_sentence(str(error), kind, names, environ)) from error


def _sentence(
    message: str, kind: type[msgspec.Struct], names: Mapping[str, str], environ: Mapping[str, str]
) -> str:
    if missing := _MISSING.search(message):
        field = missing[1]
        return f"{names.get(field, field)} is not set and has no default."
    if found := _FIELD.search(message):
        variable = names.get(found[1], found[1])
        shown = "" if _SECRET.search(variable) else f" is {environ.get(variable, '')!r}:"
        remedy = f"{message[0].lower()}{message[1 : found.start()]}"
        if message.startswith("Invalid enum value"):
            remedy = f"use one of {', '.join(get_args(get_type_hints(kind)[found[1]]))}"
        return f"{variable}{shown} {remedy}."
    return f"The settings are wrong: {message}."


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a running `booking up` says of itself in `<data-dir>/run.json`."""

    pid: int
    url: str
    database_url: str
    migration_database_url: str
    nats_url: str
    nats_monitoring_url: str
    metrics_url: str
    postgres_bin: str | None = None


def read_run_file(data_dir: Path) -> RunFile | None:
    """The run file of a data directory; None where there is none.

    Raises:
        Misconfigured: the file is there and is not a run file.
    """
    path = data_dir / RUN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunFile)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(
            f"{path} cannot be read as a run file ({error}); remove it or choose another directory "
            "with BOOKING_DATA_DIR."
        ) from error


def write_run_file(data_dir: Path, run_file: RunFile) -> None:
    """Writes the run file so that a reader sees all of it or none; only its owner may read it."""
    handle, name = tempfile.mkstemp(dir=data_dir, prefix=f".{RUN_FILE}.")  # created with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(run_file)) + b"\n")
        Path(name).replace(data_dir / RUN_FILE)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
