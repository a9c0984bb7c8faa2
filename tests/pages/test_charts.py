"""Charts: the SVG and the pixels of one layout."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from wgan_jax.pages.charts import (
    PALETTE,
    Series,
    chart,
    draw,
    log_ticks,
    nice_ticks,
    thin,
    tick_labels,
)

SVG = "{http://www.w3.org/2000/svg}"
STEPS = np.arange(0, 10_001, 100)
LINES = [
    Series("raw", STEPS, np.exp(-STEPS / 3000.0), colour=0, faint=True),
    Series("held-out", STEPS, STEPS * 0.0 + 0.5, STEPS * 0.0 + 0.4, STEPS * 0.0 + 0.6),
]


def texts(svg):
    return [node.text for node in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_chart_has_a_line_for_each_series_and_a_polygon_for_each_band():
    svg = ET.fromstring(chart(LINES, title="Estimate", x_label="steps"))
    colours = [node.get("stroke") for node in svg.iter(f"{SVG}polyline")]
    # One in the legend, one in the plot.
    assert colours.count(PALETTE[0]) == colours.count(PALETTE[1]) == 2
    assert [node.get("fill") for node in svg.iter(f"{SVG}polygon")] == [PALETTE[1]]


def test_higher_values_are_higher_and_later_steps_further_right():
    svg = ET.fromstring(chart([Series("a", [0, 10], [1.0, 3.0])]))
    (line,) = (n for n in svg.iter(f"{SVG}polyline") if n.get("stroke") == PALETTE[0])
    (x0, y0), (x1, y1) = (p.split(",") for p in line.get("points").split())
    assert float(x1) > float(x0)
    assert float(y1) < float(y0)


def test_ticks_are_round_and_thousands_are_apart():
    words = texts(chart(LINES, title="T", x_label="generator updates", y_label="W"))
    assert {"T", "generator updates", "W", "raw", "held-out"} <= set(words)
    assert {"2,000", "10,000", "0.4"} <= set(words)


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (-1.3, 1.1, [-1, -0.5, 0, 0.5, 1]),
        (1e-9, 5e-9, [1e-9, 2e-9, 3e-9, 4e-9, 5e-9]),
    ],
)
def test_nice_ticks(low, high, wanted):
    np.testing.assert_allclose(nice_ticks(low, high, 5), wanted, atol=1e-12)


def test_ticks_of_a_logarithmic_axis_are_decades():
    assert log_ticks(0.5, 2e4, 5) == [1, 10, 100, 1e3, 1e4]
    assert log_ticks(3.0, 3.4, 5) == nice_ticks(3.0, 3.4, 5)


def test_tick_labels_have_the_decimals_that_they_need():
    assert tick_labels([0, 2500, 5000]) == ["0", "2,500", "5,000"]
    assert tick_labels([-0.5, 0.25]) == ["\N{MINUS SIGN}0.5", "0.25"]
    assert tick_labels([0, 1e-5]) == ["0", "1e\N{MINUS SIGN}5"]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values", [[], [2.0], [3.0, 3.0], [0.0, 0.0], [1, np.nan, np.inf], [-1, 5, 1e9]]
)
def test_every_series_can_be_drawn(values, log):
    series = [Series("a", range(len(values)), values)]
    svg = chart(series, log=log)
    ET.fromstring(svg)
    assert "nan" not in svg.replace("no values", "")
    assert draw(series, log=log, scale=1).shape == (320, 720, 3)


def test_names_are_text_in_an_svg():
    svg = chart([Series("<script>&", [0, 1], [0, 1]), LINES[0]], title='"<b>')
    assert "<script>" not in svg
    assert {"<script>&", '"<b>'} <= set(texts(svg))


def test_a_long_line_keeps_its_extremes():
    y = np.sin(np.arange(100_000))
    y[[777, 60_001]] = 9, -9
    kept = thin(np.arange(100_000), y, 500)
    assert len(kept) <= 502
    assert {0, 777, 60_001, 99_999} <= set(kept.tolist())


def contrast(colour, background):
    def luminance(text):
        channels = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = (
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in channels
        )
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear))

    a, b = sorted((luminance(colour), luminance(background)))
    return (b + 0.05) / (a + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#15171b"])
def test_every_colour_is_readable_in_light_and_dark(background):
    assert min(contrast(c, background) for c in PALETTE) >= 3


def test_the_pixels_have_the_colours_of_the_lines():
    picture = draw(LINES, scale=1)
    wanted = [int(PALETTE[1][i : i + 2], 16) for i in (1, 3, 5)]
    assert (np.abs(picture.astype(int) - wanted).max(-1) < 40).sum() > 300


def test_a_chart_loads_nothing():
    svg = chart(LINES).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|url\(|href", svg)
