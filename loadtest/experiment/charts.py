"""The plots more than one scenario needs: a measure against the knob, things compared beside each other, and a story over time.

Pure. Other plots are put together from `loadtest.experiment.figures` by the scenario that wants them.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from loadtest.evidence.trial import Record
from loadtest.experiment.figures import Area, Dots, Drawn, Figure, Kind, Line, Point, Span, thinned
from loadtest.experiment.findings import Cell


def by_knob(
    cells: Sequence[Cell],
    measure: str,
    *,
    heading: str,
    caption: str,
    knob: str,
    unit: str,
    theory: str | None = None,
    y_max: float | None = None,
    x_log: bool = False,
    y_log: bool = False,
) -> Figure:
    """A measure of every arm against the knob: means as dots with a line, single trials hollow, theory with its band where cells have one."""
    drawn: list[Drawn] = []
    key: list[tuple[str, str]] = []
    expected = _expected(cells, measure) if theory is not None else []
    drawn += [
        Area(kind="theory", edges=[(x, max(0.0, e - band), e + band) for x, e, band in of_arm])
        for of_arm in expected
    ]
    for arm, kind, label in named_arms(cells):
        of_arm = [cell for cell in cells if cell.arm == arm]
        points = [(float(cell.knob), cell.measured(measure)) for cell in of_arm]
        drawn.append(Line(kind=kind, points=points))
        key.append((kind, label))
    drawn += [
        Line(kind="theory", points=[(x, e) for x, e, _ in of_arm], dashed=True)
        for of_arm in expected
    ]
    key += [("theory", f"theory {theory}")] if expected else []
    for arm, kind, label in named_arms(cells):
        of_arm = [cell for cell in cells if cell.arm == arm]
        drawn.append(_single_trials(of_arm, kind, label, measure, knob))
        drawn.append(
            Dots(
                kind=kind,
                points=[
                    (float(c.knob), c.measured(measure), tip(c, label, measure, knob))
                    for c in of_arm
                ],
            )
        )
    return Figure(
        heading=heading,
        caption=caption,
        x_label=knob,
        y_label=unit,
        drawn=drawn,
        key=key,
        x_ticks=sorted({float(cell.knob) for cell in cells}),
        y_max=y_max,
        x_log=x_log,
        y_log=y_log,
    )


def beside_each_other(
    places: Sequence[str],
    series: Sequence[tuple[Kind, str, Sequence[tuple[str, float, str]]]],
    *,
    heading: str,
    caption: str,
    what: str,
    unit: str,
) -> Figure:
    """Dots at `places`, which the caption names from left to right; a colour and a label for each series of (place, value, tip)."""
    place_of = {place: float(x) for x, place in enumerate(places, start=1)}
    named = ", ".join(f"{x:.0f} {place}" for place, x in place_of.items())
    return Figure(
        heading=heading,
        caption=f"{caption} {named}.",
        x_label=what,
        y_label=unit,
        drawn=[
            Dots(kind=kind, points=[(place_of[place], value, text) for place, value, text in told])
            for kind, _, told in series
        ],
        key=[(kind, label) for kind, label, _ in series],
        x_ticks=list(place_of.values()),
        y_log=True,
    )


def _expected(cells: Sequence[Cell], measure: str) -> list[list[tuple[float, float, float]]]:
    """What theory says of a measure, per arm that has a theory of it: x, expected, band."""
    of_arm: dict[str, list[tuple[float, float, float]]] = {}
    for cell in cells:
        if cell.theory is not None and cell.theory.of == measure:
            point = (float(cell.knob), cell.theory.expected, cell.theory.band)
            of_arm.setdefault(cell.arm, []).append(point)
    return [sorted(points) for points in of_arm.values()]


def _single_trials(cells: Sequence[Cell], kind: Kind, label: str, measure: str, knob: str) -> Dots:
    points = [
        (
            float(cell.knob),
            value,
            f"{label}, {knob} = {cell.knob}, one trial\n{measure}: {value:.4g}",
        )
        for cell in cells
        for m in cell.measures
        if m.name == measure and len(m.each) > 1
        for value in m.each
    ]
    return Dots(kind=kind, points=points, hollow=True)


def named_arms(cells: Sequence[Cell]) -> list[tuple[str, Kind, str]]:
    """Each arm with its colour and what it is called: the guard's where there is one arm of each, else its own."""
    guards = {cell.arm: cell.guard for cell in cells}
    plain: list[Kind] = ["a", "b", "c", "d"]
    of_one_guard = max((list(guards.values()).count(guard) for guard in ("off", "on")), default=0)
    if of_one_guard > 1:
        return [(name, plain[n % len(plain)], name) for n, name in enumerate(guards)]
    return [(name, "off" if g == "off" else "on", f"guard {g}") for name, g in guards.items()]


def tip(cell: Cell, label: str, measure: str, knob: str) -> str:
    """What is shown over a mean: the value, what theory says, and the other measures."""
    theory = cell.theory
    lines = [f"{label}, {knob} = {cell.knob}", f"{measure}: {cell.measured(measure):.4g}"]
    if theory is not None and theory.of == measure:
        lines.append(f"theory: {theory.expected:.4g} ± {theory.band:.2g}")
    lines += [f"{m.name}: {m.value:.4g}" for m in cell.measures if m.name != measure]
    return "\n".join(lines[:8])


def truth_and_shown(
    record: Record,
    slot_id: str,
    *,
    heading: str,
    caption: str,
    kind: Kind,
    capacity: int,
) -> Figure | None:
    """One trial over time: units left by the log, units as looks showed them (at `as_of` + lag), both by the database's clock; lag is shaded.

    None where nothing happened to the slot.
    """
    changes = [
        (event.recorded_at, slot)
        for event in record.events
        for slot in event.slots
        if slot.slot_id == slot_id and slot.units
    ]
    if not changes:
        return None
    start = changes[0][0]
    truth: list[Point] = [(0.0, float(capacity))]
    truth += [(_ms(at, start), float(slot.remaining)) for at, slot in changes]
    shown = sorted(
        (_ms(look.as_of, start) + look.lag_ms, float(look.remaining))
        for look in record.of("look")
        if look.slot_id == slot_id
        and look.as_of is not None
        and look.lag_ms is not None
        and look.remaining is not None
    )
    shown = [point for point in shown if point[0] >= 0]
    ends_ms = max(x for x, _ in truth + shown)
    truth.append((ends_ms, truth[-1][1]))
    drawn: list[Drawn] = []
    if shown:
        drawn.append(Area(kind="theory", edges=_between(truth, shown)))
        drawn.append(Line(kind="theory", points=thinned(shown), step=True, dashed=True))
    drawn.append(Line(kind=kind, points=thinned(truth), step=True))
    drawn += _faults(record)
    return Figure(
        heading=heading,
        caption=caption,
        x_label="ms since the first booking",
        y_label="units left",
        drawn=drawn,
        key=[(kind, "really left"), ("theory", "shown to people")],
    )


def _between(truth: Sequence[Point], shown: Sequence[Point]) -> list[tuple[float, float, float]]:
    """What the view hides: the area between what was shown and what was true at that moment."""
    edges: list[tuple[float, float, float]] = []
    at = 0
    for x, y in thinned(shown):
        while at + 1 < len(truth) and truth[at + 1][0] <= x:
            at += 1
        edges.append((x, min(y, truth[at][1]), max(y, truth[at][1])))
    return edges


def _faults(record: Record) -> list[Drawn]:
    """Marks are by the generator's clock; the first operation ties it to the first booking closely enough for a picture."""
    books = [operation for operation in record.operations if operation.status == 201]
    if not books:
        return []
    zero_ns = min(operation.return_ns for operation in books)
    return [
        Span(
            kind="off",
            from_x=(mark.at_ns - zero_ns) / 1e6,
            to_x=((mark.until_ns or mark.at_ns) - zero_ns) / 1e6,
            text=mark.what,
        )
        for mark in record.trial.marks
    ]


def survival(samples: Sequence[float]) -> list[Point]:
    """P(sample > x) as a line through the sorted samples."""
    ordered = sorted(samples)
    n = len(ordered)
    points = [(x, 1 - (i + 1) / n) for i, x in enumerate(ordered)]
    return thinned([(0.0, 1.0), *[p for p, q in pairwise(points) if p[0] != q[0]], *points[-1:]])


def _ms(at: datetime, start: datetime) -> float:
    return (at - start).total_seconds() * 1000
