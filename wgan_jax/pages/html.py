"""Parts of an HTML page that loads nothing: sections, tables, charts, pictures."""

import html
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

import numpy as np

from wgan_jax.pages.charts import PALETTE, chart, thin
from wgan_jax.pages.curves import Figure


def escape(text) -> str:
    """Any value as text in HTML, also in an attribute."""
    return html.escape(str(text))


def document(title: str, header: str, sections: Iterable[tuple[str, str, str]]) -> str:
    """A whole page.

    header: HTML above all sections. sections: (id, title, HTML) of each; one without
    HTML is left out.
    """
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{i}">{escape(t)}</a>' for i, t, _ in sections)
    body = "".join(
        f'<section id="{i}" aria-labelledby="{i}-title">'
        f'<h2 id="{i}-title">{escape(t)}</h2>{content}</section>'
        for i, t, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An address for the icon, so that no browser asks a server for one.
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_file('page.css')}</style></head>"
        f'<body><header class="top"><button type="button" class="theme" '
        'aria-label="Colours: as the system" title="Colours: as the system">'
        f'<span aria-hidden="true">◐</span></button>{header}'
        f'<nav aria-label="Sections">{links}</nav></header>'
        f"<main>{body}</main>"
        f"<script>{_file('page.js')}</script></body></html>\n"
    )


def _file(name):
    return resources.files("wgan_jax.pages").joinpath(name).read_text("utf-8")


def paragraph(text: str, kind: str = "") -> str:
    """Plain text as a paragraph."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence],
    numbers: Sequence[int] = (),
    colours: Sequence[int] = (),
    kind: str = "",
) -> str:
    """A table that scrolls by itself where it is wider than the page.

    Cells are text. numbers: places of columns that are aligned to the right. colours:
    of the lines of a chart, one for each row. kind: class of the table.
    """

    def cells(tag, row, colour=""):
        for place, value in enumerate(row):
            kind = ' class="number"' if place in numbers else ""
            scope = ' scope="col"' if tag == "th" else ""
            mark = (
                f'<i style="background:{colour}"></i>' if colour and not place else ""
            )
            yield f"<{tag}{scope}{kind}>{mark}{escape(value)}</{tag}>"

    marks = [PALETTE[c % len(PALETTE)] for c in colours]
    top = "".join(cells("th", head))
    body = "".join(
        f"<tr>{''.join(cells('td', row, colour))}</tr>"
        for row, colour in itertools.zip_longest(rows, marks, fillvalue="")
    )
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
        f'<table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def code(text: str) -> str:
    """A command with a button that copies it."""
    return (
        f'<div class="code"><pre tabindex="0"><code>{escape(text)}</code></pre>'
        '<button type="button" class="copy">Copy</button></div>'
    )


def details(summary: str, content: str) -> str:
    """HTML that opens on demand."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def figure(one: Figure, wide: bool = False) -> str:
    """A chart with its title, its values for zoom and tooltips, and how to read it."""
    svg = chart(one.series, x_label=one.x_label, y_label=one.y_label, log=one.log)
    kind = "chart wide" if wide else "chart"
    return (
        f'<figure class="{kind}"><figcaption><h3>{escape(one.title)}</h3>'
        f'</figcaption><div class="plot">{svg}</div>'
        f"{paragraph(one.reading, 'reading') if one.reading else ''}"
        f'<script type="application/json">{_values(one)}</script></figure>'
    )


def _values(one):
    """Labels and values of a chart as JSON; equal arrays of steps are written once."""
    shared, series = [], []
    for place, line in enumerate(one.series):
        kept = thin(line.x, line.y)
        columns = {
            key: _rounded(values, kept)
            for key, values in (("y", line.y), ("l", line.low), ("h", line.high))
        }
        steps = _rounded(line.x, kept, 9)
        if steps not in shared:
            shared.append(steps)
        number = place if line.colour is None else line.colour
        colour = PALETTE[number % len(PALETTE)]
        style = {"n": line.name, "c": colour, "f": line.faint, "d": line.dashed}
        series.append(style | {"x": shared.index(steps)} | columns)
    labels = {"t": one.title, "x": one.x_label, "y": one.y_label, "log": one.log}
    text = json.dumps(labels | {"xs": shared, "s": series}, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _rounded(values, kept, digits=5):
    if not len(values):
        return []
    chosen = np.asarray(values, float)[kept].tolist()
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in chosen]


def film(frames: dict[int, str], captions: dict[int, str], alt: str, kind: str) -> str:
    """Pictures with a slider and a play button; the newest is shown without a script.

    One picture has its caption alone. frames: {step: data URI}. kind: class of the
    pictures.
    """
    last = max(frames)
    images = "".join(
        f'<img class="{kind}" src="{uri}" alt="{escape(f"{alt}, {captions[step]}")}" '
        f'data-caption="{escape(captions[step])}"{"" if step == last else " hidden"}>'
        for step, uri in frames.items()
    )
    count = len(frames)
    if count == 1:
        return (
            f'<figure class="film"><div class="stage">{images}</div>'
            f"<figcaption>{escape(captions[last])}</figcaption></figure>"
        )
    return (
        f'<figure class="film"><div class="stage">{images}</div>'
        '<div class="controls"><button type="button" class="play" '
        'aria-label="Play">▶</button>'
        f'<input type="range" min="0" max="{count - 1}" value="{count - 1}" '
        f'aria-label="Step of the samples"><output>{escape(captions[last])}</output>'
        "</div></figure>"
    )


def picture(uri: str, alt: str, caption: str = "", kind: str = "") -> str:
    """A picture with its caption."""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="picture"><img class="{kind}" src="{uri}" '
        f'alt="{escape(alt)}">{below}</figure>'
    )


def texts(columns: Mapping[str, Iterable[str]]) -> str:
    """Lines of text under their captions, in columns."""
    parts = "".join(
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f'<pre tabindex="0">{escape(chr(10).join(lines))}</pre></figure>'
        for caption, lines in columns.items()
    )
    return f'<div class="texts">{parts}</div>'


def duration(seconds: float) -> str:
    """Seconds as 12 s, 3 min 20 s or 4 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def number(value) -> str:
    """A number with at most four digits, thousands apart; other values as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def mean_std(mean: float, std) -> str:
    """A mean with the two digits that its standard deviation has: 849 ± 210.

    std: None for a single value.
    """
    if not isinstance(std, (int, float)) or not math.isfinite(std):
        return number(mean)
    if not 1e-4 < std < 1e6:
        return f"{number(mean)} ± {std:.2g}"
    decimals = 1 - math.floor(math.log10(std))
    low = max(decimals, 0)
    return f"{round(mean, decimals):,.{low}f} ± {round(std, decimals):,.{low}f}"
