"""Samples on the page of a run: over training, real, interpolated, nearest."""

import numpy as np

from wgan_jax.pages import html, images
from wgan_jax.pages.charts import Series, chart
from wgan_jax.pages.curves import (
    Figure,
)
from wgan_jax.pages.facts import RunFacts
from wgan_jax.pictures import point_limits

LINES = 16
"""Lines of text of one step."""
MOST_TEXTS = 6
"""Steps whose text is shown."""
MOST_COLUMNS = 6
"""Columns of vectors whose distributions are drawn."""


def picture_class(facts: RunFacts) -> str:
    """CSS class of the saved pictures of a run."""
    config = facts.config
    if config is None or config.data.is_points:
        # Plots on white, which a dark page inverts; unknown pictures are shown as is.
        return "grid" if config is None else "ink"
    # Small images are enlarged without blur.
    return "grid pixels" if max(config.data.sample_shape[:2]) <= 64 else "grid"


def film(facts):
    """Pictures of the run's fixed noise, with a slider where there are several.

    Lines of text of a few steps instead for a run on text.
    """
    if facts.config is not None and facts.config.data.is_text:
        return _text_over_training(facts)
    frames = images.frames(facts.grids, facts.config)
    if not frames:
        return ""
    captions = {step: f"step {step:,}" for step in frames}
    kind = picture_class(facts)
    fewer = len(frames) < len(facts.grids)
    count = f"{len(frames)} of {len(facts.grids)} saved pictures are shown. " * fewer
    points = facts.config is not None and facts.config.data.is_points
    what = "Generated points (red) and real ones (grey)" if points else "Samples"
    film = html.film(frames, captions, "Generated samples", kind)
    use = (
        f"{what}, in every picture from the same noise. {count}Use the slider, its "
        "arrow keys, or the play button."
    )
    if len(facts.grids) == 1:
        use = (
            f"{what} of the only picture saved. A smaller run.sample_every saves more."
        )
    reading = html.paragraph(use, "reading")
    return f'<div class="beside">{film}{reading}</div>'


def _text_over_training(facts):
    steps = [*facts.grids]
    places = np.linspace(0, len(steps) - 1, min(len(steps), MOST_TEXTS)).round()
    columns = {
        f"step {steps[i]:,}": _saved_lines(facts.grids[steps[i]])[:LINES]
        for i in places.astype(int)
    }
    reading = "In every column from the same noise; the most probable characters."
    return columns and html.texts(columns) + html.paragraph(reading, "reading")


def _saved_lines(path):
    """The lines of a file of samples; none where it cannot be read."""
    try:
        return path.read_text("utf-8", "replace").split("\n")
    except OSError:
        return []


def real_and_generated(facts, drawn):
    """Real samples next to generated ones."""
    if drawn is None:
        return _saved_pair(facts)
    if drawn.generated.ndim == 1:
        columns = {f"generated, step {drawn.step:,}": drawn.generated[: 2 * LINES]}
        if drawn.real is not None:
            columns = {"held out from training": drawn.real[: 2 * LINES]} | columns
        reading = "Neither side is selected: the first lines, and those of seed 0."
        return html.texts(columns) + html.paragraph(reading, "reading")
    if drawn.generated.ndim == 2:
        return _points(drawn)
    if drawn.real is None:
        return ""
    count = 25 if drawn.generated.shape[1] > 64 else 36
    kind = picture_class(facts)
    pair = [
        ("Real images, held out from training", drawn.real[:count]),
        (f"Generated images, step {drawn.step:,}", drawn.generated[:count]),
    ]
    body = "".join(
        html.picture(_grid_uri(array), text, text, kind) for text, array in pair
    )
    which = "averaged" if drawn.averaged else "current"
    return f'<div class="pair">{body}</div>' + html.paragraph(
        "Neither side is selected: the first held-out images, and the first images of "
        f"noise by seed 0, by the {which} weights of the generator.",
        "reading",
    )


def _grid_uri(array, columns=0):
    picture = images.grid(array, columns)
    return images.data_uri(picture, picture.width * picture.height < 250_000)


def _saved_pair(facts):
    """The pictures of real and of fresh samples that training wrote."""
    pair = [("Real samples", facts.path / "samples" / "real.png")]
    newest = [*facts.fresh.items()][-1:]
    pair += [(f"Generated samples, step {step:,}", path) for step, path in newest]
    body = ""
    for text, path in pair:
        picture = images.saved_grid(path, facts.config)
        if picture:
            uri = images.data_uri(picture)
            body += html.picture(uri, text, text, picture_class(facts))
    return body and f'<div class="pair">{body}</div>'


def _points(drawn):
    """Scatter plot, and the distributions of the columns of vectors."""
    real = drawn.real if drawn.real is not None else np.zeros((0, 2))
    series = _clouds(("real", real, -1), ("generated", drawn.generated, 7))
    body = _scatter(series, real, "Real and generated points")
    reading = "Colours that cover each other show equal distributions."
    if "w1" in drawn.distances:
        values = {k: html.number(v) for k, v in drawn.distances.items()}
        reading += (
            f" Exact Wasserstein-1 distance of {values['points']} points: "
            f"{values['w1']}; of as many real points: {values['floor']} (the floor)."
        )
    columns = ""
    if len(real) and real.shape[1] > 2:
        count = min(real.shape[1], MOST_COLUMNS)
        columns = "".join(html.figure(_column(drawn, i)) for i in range(count))
        columns = f'<h3 class="sub">Columns</h3><div class="charts">{columns}</div>'
    body += html.paragraph(reading, "reading")
    return f'<div class="beside">{body}</div>{columns}'


def _clouds(*parts):
    return [
        Series(name, *_plane(points), dots=True, colour=colour)
        for name, points, colour in parts
        if len(points)
    ]


def _plane(points):
    """The first two coordinates; the second of points on a line is 0."""
    x = points[:, 0]
    return x, points[:, 1] if points.shape[1] > 1 else 0 * x


def _scatter(series, real, title):
    svg = chart(
        series,
        title=title,
        x_label="column 0",
        y_label="column 1",
        width=440,
        height=430,
        limits=point_limits(real),
    )
    return f'<figure class="cloud">{svg}</figure>'


def _column(drawn, i):
    pair = (("real", drawn.real[:, i], 1), ("generated", drawn.generated[:, i], 0))
    low, high = np.quantile(drawn.real[:, i], [0.005, 0.995])
    edges = np.linspace(low, high, 21)
    middle = (edges[1:] + edges[:-1]) / 2
    series = tuple(
        Series(name, middle, np.histogram(values, edges)[0] / len(values), colour=c)
        for name, values, c in pair
    )
    reading = "" if i else "Share of points in each of 20 bins; equal lines are best."
    return Figure(f"Column {i}", reading, series, "share", "value")


def interpolation(drawn):
    """Samples along ways from one latent to another."""
    if drawn is None:
        return ""
    if drawn.generated.ndim == 1:
        ways = np.split(drawn.interpolation, len(drawn.interpolation) // 8)
        columns = {f"way {i + 1}": lines for i, lines in enumerate(ways)}
        return html.texts(columns) + html.paragraph(
            "Each column leads from one point of noise to another, along a great "
            "circle.",
            "reading",
        )
    if drawn.generated.ndim == 2:
        real = drawn.real if drawn.real is not None else np.zeros((0, 2))
        paths = drawn.interpolation
        series = _clouds(("real", real, -1)) + [
            Series(f"path {i + 1}", *_plane(path), colour=i)
            for i, path in enumerate(paths)
        ]
        limits = real if len(real) else paths.reshape(-1, paths.shape[-1])
        body = _scatter(series, limits, "Paths between two points of noise")
        body += html.paragraph(
            "Each line is the path of a sample while its noise moves from one point to "
            "another. A continuous generator cannot leave out the space between two "
            "modes; a good one crosses it quickly.",
            "reading",
        )
        return f'<div class="beside">{body}</div>'
    uri = _grid_uri(drawn.interpolation, 8)
    kind = "walk pixels" if drawn.interpolation.shape[1] <= 64 else "walk"
    alt = "Rows of eight images, from one point of noise to another"
    return html.picture(uri, alt, kind=kind) + html.paragraph(
        "Each row leads from one point of noise to another, along a great circle. "
        "Gradual changes show a generator that learned a space of images; a jump "
        "between two still images would show single ones.",
        "reading",
    )


# ------------------------------------------------------------------------ memorisation


def memorisation(drawn):
    """Nearest training samples of generated and of held-out samples."""
    if drawn is None or drawn.neighbours is None:
        return ""
    found = drawn.neighbours
    noun = "images" if found.pairs else "vectors"
    body = html.paragraph(
        f"Each generated and each held-out sample is compared with "
        f"{_compared(found, noun)}. Both kinds are new to the training set, so "
        "distances of one size are the sign of a generator that does not copy. The "
        f"median of generated samples is {html.number(found.ratio)} times that of "
        "held-out ones: " + _verdict(found.ratio)
    )
    if found.pairs:
        body += html.paragraph(
            "Distances are Euclidean, of pixel values in [0, 1]. They miss copies that "
            "are shifted or mirrored.",
            "reading",
        )
    else:
        body += html.paragraph(
            "Distances are Euclidean, in the units of the networks.", "reading"
        )
    for name, title in (
        ("generated", "Generated images that are nearest to a training image"),
        ("heldout", "Held-out images that are nearest to a training image"),
    ):
        if name in found.pairs:
            samples, training = found.pairs[name]
            body += _twins(title, samples, training, getattr(found, name))
    lines = ("generated", found.generated), ("held out", found.heldout)
    series = tuple(
        Series(name, distances, np.arange(1, len(distances) + 1) / len(distances))
        for name, distances in lines
    )
    one = Figure(
        "Distance to the nearest training sample",
        "Share of samples with at most this distance. A blue line far to the left of "
        "the other one would show copies; far to the right, samples unlike the data.",
        series,
        "share of samples",
        "distance",
    )
    return body + f'<div class="charts">{html.figure(one, wide=True)}</div>'


def _compared(found, noun):
    if found.compared == found.total:
        return f"all {found.total:,} training {noun}"
    return f"{found.compared:,} of {found.total:,} training {noun}, chosen evenly"


def _verdict(ratio):
    if ratio < 0.5:
        return (
            "generated samples are much nearer. Look at the pairs below for copies, or "
            "for a generator that makes the simplest samples only."
        )
    if ratio < 0.8:
        return "generated samples are somewhat nearer; look at the pairs below."
    if ratio <= 1.25:
        return "about equal, so nothing points to copies."
    return (
        "generated samples are further away, so nothing points to copies, but they "
        "are less typical than real ones."
    )


def _twins(title, samples, training, distances):
    cells = "".join(
        '<figure class="twin">'
        f'<img class="pixels" src="{a}" alt="Sample"><img class="pixels" src="{b}" '
        f'alt="Its nearest training image"><figcaption>{d:.2f}</figcaption></figure>'
        for a, b, d in zip(images.strip(samples), images.strip(training), distances)
    )
    note = html.paragraph(
        "Above the sample, below its nearest training image, and their distance: the "
        f"{len(samples)} least of {len(distances)}.",
        "reading",
    )
    head = f'<h3 class="sub">{html.escape(title)}</h3>'
    return f'{head}<div class="twins">{cells}</div>{note}'
