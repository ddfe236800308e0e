"""Line charts as SVG text: small, sharp, and colored by the page they stand in."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

HEIGHT, TOP, BOTTOM, LEFT = 190, 10, 34, 44  # viewBox units
LETTER, LINE = 6.4, 13  # about the size of a letter at 11 units
MOST = 200  # points a line is drawn with; more are averaged in groups

Line = Sequence[tuple[float, float]]


def line_chart(
    title: str,
    lines: Mapping[str, Line],
    colors: Sequence[str],
    *,
    across: str = "update",
    percent: bool = False,
    log: bool = False,
    marks: bool = False,
    width: int = 300,
) -> str:
    """Draws lines with their names at their ends, as a `<figure>` with a caption.

    Args:
        title: Stands above the chart.
        lines: For each name its points (x, y), by rising x; y that is no number leaves a gap.
            Of names that are blank only the line is drawn.
        colors: A CSS color for each line.
        across: What x is.
        percent: y is a fraction, labeled in percent; the axis then starts at 0.
        log: The y axis is logarithmic; y of 0 or less leaves a gap.
        marks: Draws each point as a dot as well.
        width: Of the chart, where its height is 190 and a letter is 11 high.

    Returns:
        HTML, escaped; empty where there is nothing to draw.
    """
    thin = {name: _thin(points) for name, points in lines.items()}
    curves = {name: _log(points) if log else points for name, points in thin.items()}
    finite = np.array([p for points in curves.values() for p in points if math.isfinite(p[1])])
    if not len(finite):
        return ""
    right = max(22, 14 + LETTER * max(len(name.strip()) for name in lines))
    (x0, y0), (x1, y1) = finite.min(0).tolist(), finite.max(0).tolist()
    y0 = min(y0, 0) if percent else y0
    y_ticks = _log_ticks(y0, y1) if log else _ticks(y0, y1, 4)
    y0, y1 = min(y0, y_ticks[0]), max(y1, y_ticks[-1])
    x_span, y_span = (x1 - x0) or 1, (y1 - y0) or 1

    def place(x: float, y: float) -> tuple[float, float]:
        """From values to the viewBox."""
        across = LEFT + (x - x0) / x_span * (width - LEFT - right)
        return across, HEIGHT - BOTTOM - (y - y0) / y_span * (HEIGHT - BOTTOM - TOP)

    parts = []
    for y in y_ticks:
        at = place(x0, y)[1]
        value = 10**y if log else y
        text = f"{value * 100:.3g}%" if percent else _number(value)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{width - right:.1f}"/>')
        parts.append(f'<text class="end" x="{LEFT - 6}" y="{at + 4:.1f}">{text}</text>')
    for x in _ticks(x0, x1, 9 if marks else 4, whole=True):
        if x0 <= x <= x1:
            at = place(x, y0)[0]
            parts.append(f'<text class="mid" x="{at:.1f}" y="{HEIGHT - 18}">{x:,.0f}</text>')
    middle = (LEFT + width - right) / 2
    parts.append(
        f'<text class="mid" x="{middle:.1f}" y="{HEIGHT - 3}">{html.escape(across)}</text>'
    )
    ends = []
    for (name, points), color in zip(curves.items(), colors, strict=True):
        style = f'style="--line:{html.escape(color)}"'
        for piece in _pieces(points):
            spots = [place(*point) for point in piece]
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
            parts.append(f'<path class="line" {style} d="M{path}"/>')
            for x, y in spots if marks or len(spots) == 1 else []:
                parts.append(f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
            end = spots[-1][1]
        if name.strip() and _pieces(points):
            ends.append((end, name, style))
    ends.sort()
    for y, (_, name, style) in zip(_spread([end[0] for end in ends]), ends, strict=True):
        spot = f'x="{width - right + 8:.1f}" y="{y + 4:.1f}"'
        parts.append(f'<text class="name" {style} {spot}>{html.escape(name)}</text>')
    label = html.escape(title, quote=True)
    return (
        f'<figure><figcaption>{html.escape(title)}</figcaption><svg viewBox="0 0 {width} {HEIGHT}" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def _ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    """About so many round values from low to high."""
    from matplotlib.ticker import MaxNLocator

    if high <= low:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    steps = [1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10]
    return [float(x) for x in MaxNLocator(count, steps=steps, integer=whole).tick_values(low, high)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between two exponents, as exponents; 1, 2, 5 where these are too few."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    inside = [float(power) for power in powers if low <= power <= high]
    if len(inside) > 2:
        return inside
    fine = [power + math.log10(digit) for power in powers for digit in (1, 2, 5)]
    return [tick for tick in fine if low <= tick <= high] or [low, high]


def _number(value: float) -> str:
    """A number in at most about six letters."""
    text = f"{value:.3g}"
    if len(text.lstrip("-")) > 5:
        digits, _, power = f"{value:.1e}".partition("e")
        text = f"{digits.removesuffix('.0')}e{int(power)}"
    return text


def _thin(points: Line) -> Line:
    """At most `MOST` points, each the mean of the numbers in a group."""
    if len(points) <= MOST:
        return points
    size = math.ceil(len(points) / MOST)
    table = np.array(points, dtype=float)
    means = []
    for group in (table[start : start + size] for start in range(0, len(table), size)):
        numbers = group[np.isfinite(group[:, 1]), 1]
        means.append((group[:, 0].mean(), numbers.mean() if len(numbers) else math.nan))
    return means


def _log(points: Line) -> Line:
    """Points with y in powers of ten."""
    return [(x, math.log10(y) if y > 0 else math.nan) for x, y in points]


def _pieces(points: Line) -> list[Line]:
    """The runs of points without a gap."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if math.isfinite(point[1]):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _spread(ys: Sequence[float]) -> list[float]:
    """Moves rising heights apart until names at them do not overlap, within the chart."""
    spread: list[float] = []
    for y in ys:
        spread.append(max(y, spread[-1] + LINE) if spread else y)
    limit = float(HEIGHT - BOTTOM)
    for i in reversed(range(len(spread))):
        spread[i] = min(spread[i], limit)
        limit = spread[i] - LINE
    return spread
