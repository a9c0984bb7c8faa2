"""Charts: one layout of lines, bands, axes and legend, drawn as SVG or as pixels.

The text of an SVG has the colour of the text around it, and the colours of lines have a
contrast of at least 3 on white and on near-black, so that one chart serves both.
"""

import dataclasses
import html
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PALETTE = (
    "#3b7dd8",
    "#d9690f",
    "#1e9460",
    "#c2509a",
    "#8361dd",
    "#a07a1c",
    "#0e8fa3",
    "#d64545",
)
MOST_POINTS = 2000
"""Points of a line; a longer one is reduced to the extremes of equal parts."""
# Widths of the four margins: left, right, top, bottom.
MARGINS = 58, 28, 22, 40
Values = Sequence[float] | np.ndarray
CHARACTER = 6.4
"""Width of a character of the legend, on average."""


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart, with a band around it where there is one."""

    name: str
    x: Values
    y: Values
    low: Values = ()
    """Lower edge of the band; empty draws none."""
    high: Values = ()
    colour: int | None = None
    """Number in `PALETTE`, -1 for that of text, None for the place in the chart."""
    faint: bool = False
    """Draw a thin and pale line, as of raw values under their median."""
    dashed: bool = False
    dots: bool = False
    """Draw points without a line between them."""


@dataclasses.dataclass(frozen=True)
class _Path:
    points: np.ndarray
    colour: str | None = None
    """None is the colour of text."""
    width: float = 1.0
    opacity: float = 1.0
    dashed: bool = False
    filled: bool = False
    dots: bool = False


@dataclasses.dataclass(frozen=True)
class _Text:
    x: float
    y: float
    text: str
    anchor: str = "start"
    size: int = 12
    bold: bool = False
    opacity: float = 0.75


def chart(
    series: Sequence[Series],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log: bool = False,
    width: int = 720,
    height: int = 320,
    legend: bool = True,
    limits=None,
) -> str:
    """A chart as the text of one SVG element, also a file by itself.

    log: logarithmic values; a point that is not positive is left out. Values that are
    not finite are left out. legend: draw the names where there is more than one.
    limits: [[left, right], [bottom, top]]; points outside are drawn on the edge. None
    takes those of the values.
    """
    labels = title, x_label, y_label
    shapes = _layout(series, labels, log, width, height, legend, limits)
    body = "".join(_svg(shape) for shape in shapes)
    names = ", ".join(s.name for s in series)
    about = html.escape(f"Chart: {title or y_label}. Lines: {names}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="100%" role="img" aria-label="{about}" class="wgan-chart" '
        'font-family="system-ui, sans-serif">'
        # An SVG that is a file has no text around it.
        "<style>svg.wgan-chart:root{color:#1b1d22;background:#fff}"
        "@media(prefers-color-scheme:dark){"
        "svg.wgan-chart:root{color:#e8e9ec;background:#15171b}}</style>"
        f"{body}</svg>"
    )


def draw(
    series: Sequence[Series],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    log: bool = False,
    width: int = 720,
    height: int = 320,
    scale: int = 2,
    limits=None,
) -> np.ndarray:
    """The same chart as pixels on white: uint8 [scale height, scale width, 3]."""
    labels = title, x_label, y_label
    shapes = _layout(series, labels, log, width, height, True, limits)
    return _pixels(shapes, width, height, scale)


def _pixels(shapes, width, height, scale):
    # Drawn at twice the size, so that the reduction smooths the lines.
    factor = 2 * scale
    picture = Image.new("RGB", (factor * width, factor * height), "white")
    for shape in shapes:
        picture = _paint(picture, shape, factor)
    size = (scale * width, scale * height)
    return np.asarray(picture.resize(size, Image.Resampling.BOX))


@dataclasses.dataclass(frozen=True)
class Dots:
    """One row of a plot of dots: values of one thing, such as those of its seeds."""

    name: str
    values: Sequence[float]
    colour: int | None = None
    """Number in `PALETTE`; None takes the place in the plot."""


def draw_dots(
    rows: Sequence[Dots],
    *,
    title: str = "",
    x_label: str = "",
    reference: float | None = None,
    width: int = 720,
    scale: int = 2,
) -> np.ndarray:
    """Rows of dots with their mean as a bar, as pixels on white, uint8 [h, w, 3].

    reference: a value at which a dashed line is drawn.
    """
    left = 16 + int(CHARACTER * 1.1 * max(len(row.name) for row in rows))
    top, row_height, bottom = 34, 26, 40
    height = top + row_height * len(rows) + bottom
    values = [v for row in rows for v in row.values]
    values += [] if reference is None else [reference]
    positive = min(values) > 0 and max(values) > 20 * min(values)
    axis = _Axis(np.array(values), left, width - 28, count=width // 110, log=positive)
    floor = height - bottom
    shapes: list[_Path | _Text] = [_Text(2, 18, title, size=15, bold=True, opacity=1)]
    for tick, text in zip(axis.ticks, tick_labels(axis.ticks)):
        x = float(axis.at(tick))
        shapes.append(_Path(np.array([[x, top], [x, floor]]), opacity=0.12))
        shapes.append(_Text(x, floor + 18, text, "middle"))
    shapes.append(_Text(width - 28, floor + 34, x_label, "end"))
    if reference is not None:
        x = float(axis.at(reference))
        shapes.append(_Path(np.array([[x, top], [x, floor]]), opacity=0.8, dashed=True))
    circle = 4 * np.stack([f(np.linspace(0, 2 * np.pi, 17)) for f in (np.cos, np.sin)])
    for place, row in enumerate(rows):
        y = top + row_height * (place + 0.5)
        colour = _colour(row, place)
        shapes.append(_Text(left - 10, y + 4, row.name, "end", opacity=0.9))
        for value in row.values:
            middle = [[float(axis.at(value))], [y]]
            shapes.append(_Path((circle + middle).T, colour, opacity=0.75, filled=True))
        x = float(axis.at(np.mean(row.values)))
        shapes.append(_Path(np.array([[x, y - 9], [x, y + 9]]), colour, 2.5))
    return _pixels(shapes, width, height, scale)


def thin(x, y, most: int = MOST_POINTS) -> np.ndarray:
    """Numbers of at most `most` points, with the extremes of each of equal parts."""
    if len(x) <= most:
        return np.arange(len(x))
    y = np.asarray(y, np.float64)
    parts = np.array_split(np.arange(len(x)), most // 2)
    chosen = {int(p[f(y[p])]) for p in parts for f in (np.argmin, np.argmax)}
    return np.array(sorted(chosen | {0, len(x) - 1}))


# ------------------------------------------------------------------------------ layout


def _layout(series, labels, log, width, height, legend, limits) -> list:
    title, x_label, y_label = labels
    left, right, top, bottom = MARGINS
    shapes: list[_Path | _Text] = []
    if title:
        shapes.append(_Text(2, 18, title, size=15, bold=True, opacity=1))
        top += 22
    if legend and len(series) > 1:
        entries, rows = _legend(series, 2, top - 6, width)
        shapes += entries
        top += 20 * rows
    box = left, top, width - right, height - bottom
    lines = [_finite(s, log, limits) for s in series]
    xs = np.concatenate([line["x"] for line in lines] or [[]])
    ys = [line[k] for line in lines for k in ("y", "low", "high") if len(line[k])]
    ys = np.concatenate(ys or [[]])
    tight = limits is not None
    if tight:
        xs, ys = (np.array(pair, float) for pair in limits)
    x_axis = _Axis(xs, box[0], box[2], count=max(2, width // 90), tight=True)
    y_axis = _Axis(ys, box[3], box[1], count=max(2, height // 52), log=log, tight=tight)
    shapes += _axes(x_axis, y_axis, box, x_label, y_label)
    if not len(xs):
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return [*shapes, _Text(*middle, "no values yet", "middle", 13)]
    for place, (one, line) in enumerate(zip(series, lines, strict=True)):
        colour = _colour(one, place)
        x = x_axis.at(line["x"])
        if len(line["low"]):
            edges = [y_axis.at(line[k]) for k in ("low", "high")]
            outline = np.concatenate([edges[0], edges[1][::-1]])
            around = np.stack([np.concatenate([x, x[::-1]]), outline], 1)
            shapes.append(_Path(around, colour, opacity=0.18, filled=True))
        points = np.stack([x, y_axis.at(line["y"])], 1)
        if one.dots:
            shapes.append(_Path(points, colour, 3.2, 0.55, dots=True))
            continue
        if len(points) == 1:
            points = points + [[-2, 0], [2, 0]]
        faint = one.faint
        thickness, opacity = (1.0, 0.4) if faint else (2.0, 1.0)
        shapes.append(_Path(points, colour, thickness, opacity, one.dashed))
    return shapes


def _colour(series, place):
    number = place if series.colour is None else series.colour
    return None if number < 0 else PALETTE[number % len(PALETTE)]


def _finite(series, log, limits):
    """The arrays of a series without points that cannot be drawn, reduced in number."""
    columns = {"x": series.x, "y": series.y, "low": series.low, "high": series.high}
    columns = {k: np.asarray(v, np.float64) for k, v in columns.items()}
    present = {k: v for k, v in columns.items() if len(v)}
    usable = np.ones(len(columns["x"]), bool)
    for name, values in present.items():
        usable &= np.isfinite(values)
        if log and name != "x":
            usable &= values > 0
    present = {k: v[usable] for k, v in present.items()}
    if limits is not None:
        for name, bounds in zip("xy", limits):
            present[name] = present[name].clip(*bounds)
    elif present:
        kept = thin(present["x"], present["y"])
        present = {k: v[kept] for k, v in present.items()}
    return {k: present.get(k, np.zeros(0)) for k in columns}


class _Axis:
    """Scale of one axis: values to places between `start` and `end`, and its ticks."""

    def __init__(self, values, start, end, *, count, log=False, tight=False):
        low, high = (values.min(), values.max()) if len(values) else (1.0, 10.0)
        if high == low:
            reach = abs(high) / 2 or 1.0
            low, high = (low / 2, high * 2) if log else (low - reach, high + reach)
        elif log:
            pad = (high / low) ** 0.04
            low, high = low / pad, high * pad
        elif not tight:
            # From zero, where that leaves most of the height to the values.
            pad = 0.05 * (high - low)
            from_zero = 0 <= low < 0.4 * high
            low, high = (0.0 if from_zero else low - pad), high + pad
        self.log = log
        self.ends = start, end
        self.low, self.high = self._of(np.array([low, high]))
        if log:
            self.ticks = log_ticks(low, high, count)
        else:
            self.ticks = nice_ticks(low, high, count)

    def _of(self, values):
        return np.log10(values) if self.log else np.asarray(values, np.float64)

    def at(self, values):
        """Places of values."""
        start, end = self.ends
        share = (self._of(values) - self.low) / (self.high - self.low)
        return start + (end - start) * share


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from low to high: 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Powers of ten from low to high; also their multiples where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    digits = (1,) if last - first > 3 else (1, 2, 5)
    apart = max(1, (last - first) // (2 * count))
    ticks = [d * 10.0**p for p in range(first, last + 1, apart) for d in digits]
    ticks = [t for t in ticks if low <= t <= high]
    return ticks if len(ticks) > 1 else nice_ticks(low, high, count)


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """The ticks as text, with as many decimals as they need and thousands apart."""
    largest = max(map(abs, ticks), default=0)
    smallest = min((abs(t) for t in ticks if t), default=1)
    if largest >= 1e7 or largest < 1e-3 or smallest < 1e-4:
        return [_scientific(t) for t in ticks]
    return [_trimmed(t) for t in ticks]


def _scientific(value):
    mantissa, exponent = f"{value:.2e}".split("e")
    number = mantissa.rstrip("0").rstrip(".")
    text = f"{number}e{int(exponent)}" if value else "0"
    return text.replace("-", "\N{MINUS SIGN}")


def _trimmed(value):
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text.replace("-", "\N{MINUS SIGN}")


def _axes(x_axis, y_axis, box, x_label, y_label):
    left, top, right, bottom = box
    for tick, text in zip(y_axis.ticks, tick_labels(y_axis.ticks)):
        y = float(y_axis.at(tick))
        grid = np.array([[left, y], [right, y]])
        yield _Path(grid, opacity=0.3 if tick == 0 else 0.12)
        yield _Text(left - 8, y + 4, text, "end")
    yield _Path(np.array([[left, bottom], [right, bottom]]), opacity=0.45)
    for tick, text in zip(x_axis.ticks, tick_labels(x_axis.ticks)):
        x = float(x_axis.at(tick))
        yield _Path(np.array([[x, bottom], [x, bottom + 4]]), opacity=0.45)
        yield _Text(x, bottom + 18, text, "middle")
    yield _Text(right, bottom + 34, x_label, "end")
    yield _Text(2, top - 9, y_label)


def _legend(series, x, y, width):
    """(shapes, rows) of the names of the series, in as many rows as they need."""
    shapes, start, rows = [], x, 1
    for place, one in enumerate(series):
        needed = 30 + CHARACTER * len(one.name)
        if x > start and x + needed > width:
            x, y, rows = start, y + 20, rows + 1
        sample = np.array([[x, y - 4], [x + 18, y - 4]])
        opacity = 0.4 if one.faint else 1.0
        shapes.append(_Path(sample, _colour(one, place), 2.5, opacity, one.dashed))
        shapes.append(_Text(x + 24, y, one.name, opacity=0.9))
        x += needed + 12
    return shapes, rows


# ----------------------------------------------------------------------------- drawing


def _svg(shape):
    if isinstance(shape, _Text):
        weight = ' font-weight="600"' if shape.bold else ""
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}" '
            f'font-size="{shape.size}" fill="currentColor" '
            f'fill-opacity="{shape.opacity}"{weight}>{html.escape(shape.text)}</text>'
        )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    colour = shape.colour or "currentColor"
    if shape.dots:
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in shape.points)
        return (
            f'<path d="{path}" stroke="{colour}" stroke-width="{shape.width}" '
            f'stroke-opacity="{shape.opacity}" stroke-linecap="round"/>'
        )
    if shape.filled:
        return (
            f'<polygon points="{points}" fill="{colour}" '
            f'fill-opacity="{shape.opacity}"/>'
        )
    dash = ' stroke-dasharray="6 4"' if shape.dashed else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" '
        f'stroke-width="{shape.width}" stroke-opacity="{shape.opacity}" '
        f'stroke-linejoin="round"{dash}/>'
    )


def _paint(picture, shape, factor):
    ink = (27, 29, 34)
    if isinstance(shape, _Text):
        font = ImageFont.load_default(shape.size * factor)
        place = shape.x * factor, shape.y * factor
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
        shade = _on_white(ink, shape.opacity)
        # Pillow's font has no other minus.
        words = shape.text.replace("\N{MINUS SIGN}", "-")
        stroke = factor // 4 if shape.bold else 0
        ImageDraw.Draw(picture).text(
            place, words, shade, font, anchor, stroke_width=stroke
        )
        return picture
    points = [(x * factor, y * factor) for x, y in shape.points]
    number = shape.colour and int(shape.colour[1:], 16)
    rgb = (number >> 16, number >> 8 & 255, number & 255) if number else ink
    if shape.filled:
        layer = picture.copy()
        ImageDraw.Draw(layer).polygon(points, rgb)
        return Image.blend(picture, layer, shape.opacity)
    pencil, shade = ImageDraw.Draw(picture), _on_white(rgb, shape.opacity)
    width = max(1, round(shape.width * factor))
    if shape.dots:
        for x, y in points:
            radius = width / 2
            pencil.ellipse((x - radius, y - radius, x + radius, y + radius), shade)
        return picture
    for part in _dashes(points, 6 * factor) if shape.dashed else [points]:
        pencil.line(part, shade, width, joint="curve")
    return picture


def _on_white(rgb, opacity):
    return tuple(round(255 + (c - 255) * opacity) for c in rgb)


def _dashes(points, length):
    """A line as pieces of `length` with gaps of equal length."""
    points = np.array(points)
    along = np.concatenate(
        [[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    )
    for start in np.arange(0, along[-1], 2 * length):
        ends = np.array([start, min(start + length, along[-1])])
        inside = along[(along > ends[0]) & (along < ends[1])]
        places = np.sort(np.concatenate([ends, inside]))
        x, y = (np.interp(places, along, points[:, i]) for i in (0, 1))
        yield list(zip(x, y))
