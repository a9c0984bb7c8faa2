"""Pages and pictures of runs, written to files."""

import contextlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from wgan_jax import pictures
from wgan_jax.errors import UserError
from wgan_jax.files import replacing, write_text
from wgan_jax.pages import charts, images
from wgan_jax.pages.comparison import comparison_figures, comparison_page, make_settings
from wgan_jax.pages.curves import run_figures
from wgan_jax.pages.drawn import Drawn, draw_samples
from wgan_jax.pages.facts import RunFacts, find_runs, read_facts
from wgan_jax.pages.run import run_page

NAME = "report.html"
MOST_DRAWN = 24
"""Runs of a comparison whose newest checkpoint is read."""


def default_out(paths) -> Path:
    """Path of the page where none is given: in the run, or in the folder of all."""
    paths = [Path(path) for path in paths]
    if len(paths) == 1:
        return paths[0] / NAME
    if any(path.is_absolute() for path in paths):
        paths = [path.absolute() for path in paths]
    return Path(os.path.commonpath(paths)) / NAME


def write_page(paths, out: Path | None = None, png: Path | None = None) -> Path:
    """Writes the page of a run, or of several runs, and returns its path.

    paths: run directories, and folders of runs such as that of a sweep. out: None is
    `default_out`. png: also a picture of the curves and the newest samples. Raises
    UserError where a path has no run.
    """
    runs = find_runs(paths)
    out = default_out(paths) if out is None else out
    names = _names(runs)
    facts = [read_facts(run, name) for run, name in zip(runs, names)]
    if len(runs) == 1:
        page = run_page(facts[0], _draw(facts[0]))
    else:
        drawn = {str(run.path): _draw(run) for run in _chosen(facts)}
        title = _title(paths, runs)
        page = comparison_page(facts, drawn, title)
    out.parent.mkdir(parents=True, exist_ok=True)
    # A name may have bytes that are not UTF-8.
    write_text(out, page.encode(errors="backslashreplace").decode())
    if png:
        png.parent.mkdir(parents=True, exist_ok=True)
        with replacing(png) as temporary:
            Image.fromarray(make_picture(facts)).save(temporary)
    return out


def _draw(facts) -> Drawn | str:
    """The samples of a run, or the reason why there are none."""
    if not facts.checkpoints:
        return "no checkpoint is saved yet"
    try:
        # Remarks on the data were printed when the run was trained.
        with contextlib.redirect_stdout(io.StringIO()):
            return draw_samples(facts.path)
    except UserError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _chosen(facts):
    """Runs to read, the first seed of every setting before the second."""
    settings = make_settings(facts)
    ranked = [(s.runs.index(run), run) for s in settings for run in s.runs]
    ranked.sort(key=lambda pair: pair[0])
    return [run for _, run in ranked[:MOST_DRAWN]]


def _names(runs):
    """A short name of each run: its path below the folder of all."""
    if len(runs) == 1:
        return [runs[0].resolve().name]
    root = os.path.commonpath([run.resolve() for run in runs])
    return [str(run.resolve().relative_to(root)) for run in runs]


def _title(paths, runs):
    if len(paths) == 1:
        return Path(paths[0]).resolve().name
    if len(runs) <= 3:
        return " and ".join(run.resolve().name for run in runs)
    return f"{len(runs)} runs"


# ----------------------------------------------------------------------------- picture


def make_picture(facts: list[RunFacts]) -> np.ndarray:
    """The main curves and the newest samples as pixels: uint8 [h, w, 3]."""
    if len(facts) == 1:
        figures = run_figures(facts[0].records, facts[0].fields)[:4]
    else:
        figures = comparison_figures(make_settings(facts))[:4]
    width = 1440
    drawn = [
        charts.draw(
            one.series,
            title=one.title,
            x_label=one.x_label,
            y_label=one.y_label,
            log=one.log,
            width=width // 4 if len(figures) > 1 else width // 2,
            height=280,
        )
        for one in figures
    ]
    rows = [_beside(drawn[i : i + 2], width) for i in range(0, len(drawn), 2)]
    grids = _grids(facts[0]) if len(facts) == 1 else []
    for one in facts[:6] if len(facts) > 1 else ():
        grids += _grids(one)[-1:]
    side = (width - 24 * 2) // 3
    scaled = [_scaled(g, side) for g in grids]
    rows += [_beside(scaled[i : i + 3], width) for i in range(0, len(scaled), 3)]
    if not rows:
        rows = [np.full((200, width, 3), 255, np.uint8)]
    gap = np.full((32, width, 3), 255, np.uint8)
    parts = [part for row in rows for part in (gap, row)]
    return np.pad(
        np.concatenate([*parts, gap]), ((0, 0), (32, 32), (0, 0)), constant_values=255
    )


def _grids(facts):
    """(picture, caption) of samples of the run: first, middle and newest."""
    steps, found = [*facts.grids], []
    places = {0, len(steps) // 2, len(steps) - 1} if steps else ()
    for step in [steps[place] for place in sorted(places)]:
        picture = images.saved_grid(facts.grids[step], facts.config)
        if picture is not None:
            white = Image.new("RGB", picture.size, "white")
            white.paste(picture, mask=picture if picture.mode == "RGBA" else None)
            found.append((white, f"{facts.name}, step {step:,}"))
    return found


def _scaled(grid, side):
    picture, text = grid
    height = round(side * picture.height / picture.width)
    kind = (
        Image.Resampling.NEAREST if picture.width * 2 <= side else Image.Resampling.BOX
    )
    if picture.width > side:
        kind = Image.Resampling.LANCZOS
    return pictures.caption(np.asarray(picture.resize((side, height), kind)), text)


def _beside(parts, width):
    """Pictures in one row of this width, at the top, with equal gaps."""
    height = max(part.shape[0] for part in parts)
    row = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for part in parts:
        shown = part[:, : width - left]
        row[: shown.shape[0], left : left + shown.shape[1]] = shown
        left += shown.shape[1] + (24 if part.shape[1] < width // 2 - 24 else 0)
    return row
