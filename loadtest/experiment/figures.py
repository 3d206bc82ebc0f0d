"""What a plot shows, as data: lines, bands, points with a text to hover, shaded stretches. Drawing them is the report's business.

Kinds name colours of the page: `off` and `on` for the arms, `theory` for what was expected, `a` to `d` for anything else that is compared.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

Kind = Literal["off", "on", "theory", "a", "b", "c", "d"]
Point = tuple[float, float]


class Line(Struct, frozen=True, kw_only=True, tag="line"):
    """A polyline; `step` holds each value until the next point, `dashed` is for what was not measured."""

    kind: Kind
    points: list[tuple[float, float]]
    step: bool = False
    dashed: bool = False


class Dots(Struct, frozen=True, kw_only=True, tag="dots"):
    """Points, each with the text shown when the pointer is on it; `hollow` ones are single samples beside a mean."""

    kind: Kind
    points: list[tuple[float, float, str]]
    hollow: bool = False


class Area(Struct, frozen=True, kw_only=True, tag="area"):
    """The area between two lines: x, lower, upper."""

    kind: Kind
    edges: list[tuple[float, float, float]]


class Span(Struct, frozen=True, kw_only=True, tag="span"):
    """A stretch of the x axis that is shaded and named: a fault, a lag."""

    kind: Kind
    from_x: float
    to_x: float
    text: str


Drawn = Line | Dots | Area | Span


class Figure(Struct, frozen=True, kw_only=True):
    """A plot with its heading, one sentence on what to see, and its key; linear axes include zero on y unless `y_log`."""

    heading: str
    caption: str
    x_label: str
    y_label: str
    drawn: list[Drawn]
    key: list[tuple[str, str]]
    x_ticks: list[float] | None = None
    y_max: float | None = None
    x_log: bool = False
    y_log: bool = False


LINE_POINTS_MAX = 300


def thinned(points: Sequence[Point], limit: int = LINE_POINTS_MAX) -> list[Point]:
    """Every n-th point and the last, so that a page stays small."""
    step = -(-len(points) // limit) or 1
    return [*points[::step], *points[-1:]]
