"""Line plots as inline SVG, by hand: two axes, lines, bands and points with a value to hover. No library, so the report stays small and offline.

Colours are CSS classes of the page (`off`, `on`, `theory`), so that light and dark are decided there.
"""

from collections.abc import Sequence
from html import escape
from math import floor, log10

from msgspec import Struct

Point = tuple[float, float]

WIDTH, HEIGHT = 620, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 18, 14, 48


class Line(Struct, frozen=True, kw_only=True):
    """A polyline of one class; `step` holds each value until the next point."""

    kind: str
    points: Sequence[Point]
    step: bool = False


class Dots(Struct, frozen=True, kw_only=True):
    """Points of one class, each with the text shown when the pointer is on it."""

    kind: str
    points: Sequence[tuple[float, float, str]]
    radius: float = 5


class Band(Struct, frozen=True, kw_only=True):
    """The area between two lines: x, lower, upper."""

    kind: str
    edges: Sequence[tuple[float, float, float]]


class Plot(Struct, frozen=True, kw_only=True):
    """What to draw; the ranges always include zero on the y axis."""

    title: str
    x_label: str
    y_label: str
    marks: Sequence[Line | Dots | Band]
    x_ticks: Sequence[float] | None = None
    y_max: float | None = None


def svg(plot: Plot) -> str:
    """The plot as one <svg> element."""
    xs = [x for mark in plot.marks for x, _ in _extent(mark)] or [0.0]
    ys = [y for mark in plot.marks for _, y in _extent(mark)] or [0.0]
    x_range = (min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
    top = max(*ys, plot.y_max or 0.0, 1.0)
    y_ticks = ticks(min(0.0, *ys), top)
    axes = _Axes(x_range, (min(y_ticks[0], *ys), max(y_ticks[-1], top)))
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(plot.title)}">',
        *_grid(plot, axes, plot.x_ticks or ticks(*x_range), y_ticks),
        *(_drawn(mark, axes) for mark in plot.marks),
        "</svg>",
    ]
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers that cover the range."""
    if high <= low:
        return [low, low + 1]
    step = 10.0 ** floor(log10((high - low) / 4))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= 7:
            step *= factor
            break
    first, last = floor(low / step), -floor(-high / step)
    return [n * step for n in range(first, last + 1)]


class _Axes:
    """From values to places on the paper."""

    def __init__(self, x_range: Point, y_range: Point) -> None:
        self.x_low, self.x_high = x_range
        self._y_range = y_range

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._y_range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)


def _extent(mark: Line | Dots | Band) -> list[Point]:
    if isinstance(mark, Band):
        return [(x, y) for x, low, high in mark.edges for y in (low, high)]
    return [(point[0], point[1]) for point in mark.points]


def _grid(plot: Plot, axes: _Axes, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> list[str]:
    parts = []
    for value in y_ticks:
        y, kind = axes.y(value), "axis" if value == 0 else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:,.0f}</text>')
    for value in (tick for tick in x_ticks if axes.x_low <= tick <= axes.x_high):
        x, low = axes.x(value), HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{low}" y2="{low + 5}"/>')
        parts.append(f'<text x="{x}" y="{low + 19}" text-anchor="middle">{value:,.0f}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(plot.x_label)}</text>'
        f'<text class="label" x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(plot.y_label)}</text>'
    )
    return parts


def _drawn(mark: Line | Dots | Band, axes: _Axes) -> str:
    if isinstance(mark, Band):
        edge = [f"{axes.x(x)},{axes.y(high)}" for x, _, high in mark.edges]
        edge += [f"{axes.x(x)},{axes.y(low)}" for x, low, _ in reversed(mark.edges)]
        return f'<polygon class="band {mark.kind}" points="{" ".join(edge)}"/>'
    if isinstance(mark, Line):
        return f'<path class="line {mark.kind}" d="{_path(mark, axes)}"/>'
    return "".join(
        f'<circle class="dot {mark.kind}" cx="{axes.x(x)}" cy="{axes.y(y)}" r="{mark.radius}"/>'
        # A larger, invisible circle is what the pointer meets.
        f'<circle class="hit" tabindex="0" cx="{axes.x(x)}" cy="{axes.y(y)}" r="12" data-tip="{escape(tip)}"/>'
        for x, y, tip in mark.points
    )


def _path(line: Line, axes: _Axes) -> str:
    places = [(axes.x(x), axes.y(y)) for x, y in line.points]
    if not places:
        return ""
    path = [f"M{places[0][0]} {places[0][1]}"]
    for x, y in places[1:]:
        path.append(f"H{x}V{y}" if line.step else f"L{x} {y}")
    return "".join(path)
