"""What every process publishes about the whole: the OpenAPI document and the problem types.

A process that runs one side still documents both. So the documents are made once from an application of
all Parts, committed beside this module, and served from there; a test compares them with what the
application of today would say. Where none are committed, an application publishes itself.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import msgspec

from booking.edge.openapi import Documented, openapi_of
from booking.edge.openapi_problems import Document
from booking.edge.problems import ProblemType

FOLDER = Path(__file__).parent / "published"
OPENAPI = "openapi.json"
PROBLEM_TYPES = "problems.json"


def documents_of(app: Documented) -> dict[str, bytes]:
    """The documents of an application, by file name."""
    problems = sorted(app.problems.values(), key=lambda kind: kind.slug)
    return {OPENAPI: _pretty(openapi_of(app)), PROBLEM_TYPES: _pretty(problems)}


def publish(app: Documented, folder: Path = FOLDER) -> list[str]:
    """Writes the documents of an application; returns the names of those that changed."""
    folder.mkdir(exist_ok=True)
    changed = stale(app, folder)
    for name in changed:
        (folder / name).write_bytes(documents_of(app)[name])
    return changed


def stale(app: Documented, folder: Path = FOLDER) -> list[str]:
    """Which committed documents do not say what an application would say today."""
    return [
        name
        for name, document in documents_of(app).items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != document
    ]


class Published:
    """What a process serves: the committed documents, or its own where there are none."""

    def __init__(self, app: Documented, folder: Path = FOLDER) -> None:
        self._app = app
        self._folder = folder

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document as bytes."""
        return self._document(OPENAPI)

    @cached_property
    def problems(self) -> dict[str, ProblemType]:
        """The problem types by slug."""
        kinds = msgspec.json.decode(self._document(PROBLEM_TYPES), type=list[ProblemType])
        return {kind.slug: kind for kind in kinds}

    @cached_property
    def openapi_document(self) -> Document:
        """The OpenAPI document as a tree."""
        return cast("Document", msgspec.json.decode(self.openapi))

    def _document(self, name: str) -> bytes:
        path = self._folder / name
        return path.read_bytes() if path.is_file() else documents_of(self._app)[name]


def _pretty(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def main(arguments: Sequence[str]) -> int:
    """`python -m booking.edge.published module:function` publishes the application the function makes."""
    if len(arguments) != 1 or ":" not in arguments[0]:
        print("usage: python -m booking.edge.published module:function")  # noqa: T201 - a program's word to its user
        return 2
    module, _, function = arguments[0].partition(":")
    make = cast("Callable[[], Documented]", getattr(import_module(module), function))
    print(*(publish(make()) or ["nothing changed"]), sep="\n")  # noqa: T201 - a program's word to its user
    return 0


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
