"""Figures as inline SVG, by hand: two axes, lines, bands, shaded stretches and points with a value to hover. No library, so a page stays small and offline.

Colours are CSS classes of the page (`off`, `on`, `theory`, `a` to `d`), so that light and dark are decided there.
"""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from loadtest.experiment.figures import Area, Drawn, Figure, Line, Span

Point = tuple[float, float]

WIDTH, HEIGHT = 620, 340
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 18, 48
LOG_FLOOR = 1e-3


def svg(figure: Figure) -> str:
    """The plot as one <svg> element."""
    axes = _Axes(figure)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(figure.heading)}">',
        *(_drawn(each, axes) for each in figure.drawn if isinstance(each, Span)),
        *_grid(figure, axes),
        *(_drawn(each, axes) for each in figure.drawn if not isinstance(each, Span)),
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


def log_ticks(low: float, high: float) -> list[float]:
    """The powers of ten around a range."""
    return [10.0**n for n in range(floor(log10(low)), ceil(log10(high)) + 1)]


class _Axes:
    """From values to places on the paper; what a logarithmic axis cannot show stands at its lower end."""

    def __init__(self, figure: Figure) -> None:
        xs = [x for each in figure.drawn for x, _ in _extent(each)] or [0.0]
        ys = [y for each in figure.drawn for _, y in _extent(each) if y == y] or [0.0]  # noqa: PLR0124 -- leaves out nan
        self._x_log, self._y_log = figure.x_log, figure.y_log
        if figure.x_log:
            xs = [x for x in xs if x > 0] or [1.0]
            x_ends = (min(xs), max(*xs, min(xs) * 1.01))
        else:
            x_ends = (min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1)
        self.x_low, self.x_high = x_ends
        wanted = figure.x_ticks or (log_ticks(*x_ends) if figure.x_log else ticks(*x_ends))
        self.x_ticks = [tick for tick in wanted if self.x_low <= tick <= self.x_high]
        if figure.y_log:
            positive = [y for y in ys if y > LOG_FLOOR] or [1.0]
            self.y_ticks = log_ticks(min(positive), max(*positive, min(positive) * 1.01))
            if len(self.y_ticks) < 2:
                self.y_ticks.append(self.y_ticks[0] * 10)
        else:
            top = max(*ys, figure.y_max or 0.0, 1e-9)
            self.y_ticks = ticks(min(0.0, *ys), top)
        self.y_low, self.y_high = self.y_ticks[0], self.y_ticks[-1]

    def x(self, value: float) -> float:
        share = _share(value, self.x_low, self.x_high, log=self._x_log)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = _share(value, self.y_low, self.y_high, log=self._y_log)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _share(value: float, low: float, high: float, *, log: bool) -> float:
    if not log:
        return (value - low) / (high - low)
    return (log10(max(value, low)) - log10(low)) / (log10(high) - log10(low))


def _extent(drawn: Drawn) -> list[Point]:
    if isinstance(drawn, Area):
        return [(x, y) for x, low, high in drawn.edges for y in (low, high)]
    if isinstance(drawn, Span):
        return []
    return [(point[0], point[1]) for point in drawn.points]


def _grid(figure: Figure, axes: _Axes) -> list[str]:
    parts = []
    for value in axes.y_ticks:
        y, kind = axes.y(value), "axis" if value == axes.y_low else "grid"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{_said(value)}</text>')
    last_x = -1000.0
    for value in axes.x_ticks:
        x, low = axes.x(value), HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{low}" y2="{low + 5}"/>')
        if x - last_x > 34:  # closer together, their numbers would overlap
            parts.append(f'<text x="{x}" y="{low + 19}" text-anchor="middle">{_said(value)}</text>')
            last_x = x
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(figure.x_label)}</text>'
        f'<text class="label" x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">{escape(figure.y_label)}</text>'
    )
    return parts


def _said(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.3g}"


def _drawn(drawn: Drawn, axes: _Axes) -> str:
    if isinstance(drawn, Area):
        edge = [f"{axes.x(x)},{axes.y(high)}" for x, _, high in drawn.edges]
        edge += [f"{axes.x(x)},{axes.y(low)}" for x, low, _ in reversed(drawn.edges)]
        return f'<polygon class="band {drawn.kind}" points="{" ".join(edge)}"/>'
    if isinstance(drawn, Line):
        dashed = " dashed" if drawn.dashed else ""
        return f'<path class="line {drawn.kind}{dashed}" d="{_path(drawn, axes)}"/>'
    if isinstance(drawn, Span):
        return _span(drawn, axes)
    shape = f"dot {'one ' if drawn.hollow else ''}{drawn.kind}"
    radius = 3.5 if drawn.hollow else 5
    return "".join(
        f'<circle class="{shape}" cx="{axes.x(x)}" cy="{axes.y(y)}" r="{radius}"/>'
        # A larger, invisible circle is what the pointer meets.
        f'<circle class="hit" tabindex="0" cx="{axes.x(x)}" cy="{axes.y(y)}" r="12" data-tip="{escape(tip)}"/>'
        for x, y, tip in drawn.points
    )


def _span(span: Span, axes: _Axes) -> str:
    low, high = (min(max(x, axes.x_low), axes.x_high) for x in (span.from_x, span.to_x))
    left, width = axes.x(low), max(2.0, axes.x(high) - axes.x(low))
    return (
        f'<rect class="span {span.kind}" x="{left}" y="{TOP}" width="{round(width, 1)}" height="{HEIGHT - TOP - BOTTOM}" data-tip="{escape(span.text)}"/>'
        f'<text class="label" x="{left + 4}" y="{TOP - 5}">{escape(span.text)}</text>'
    )


def _path(line: Line, axes: _Axes) -> str:
    places = [(axes.x(x), axes.y(y)) for x, y in line.points]
    if not places:
        return ""
    path = [f"M{places[0][0]} {places[0][1]}"]
    for x, y in places[1:]:
        path.append(f"H{x}V{y}" if line.step else f"L{x} {y}")
    return "".join(path)


def key(entries: Sequence[tuple[str, str]]) -> str:
    """What each colour stands for."""
    return "".join(f'<span><i class="{kind}"></i>{escape(name)}</span>' for kind, name in entries)
