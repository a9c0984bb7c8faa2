"""The report on a survey of images: facts, lines of text, contact sheet."""

from collections import Counter

import numpy as np

from wgan_jax import pictures
from wgan_jax.config import Data
from wgan_jax.data.content import digests
from wgan_jax.data.sources import open_reader
from wgan_jax.data.survey import COMPARED, NEAR, SIDE, Survey, groups
from wgan_jax.distributed.sharding import format_bytes

# Groups of copies, kinds of images and files that the lines show.
SHOWN = 5
# Images of each half of a contact sheet, and their side in pixels.
SHEET, SHEET_SIDE = 40, 96
# Columns of a contact sheet.
COLUMNS = 10
QUANTILES = {"smallest": 0, "10%": 0.1, "median": 0.5, "90%": 0.9, "largest": 1}
# A class with so many times fewer images than the largest one is named.
IMBALANCE = 10


def make_report(survey: Survey, data: Data) -> dict:
    """Facts about the images, for JSON.

    data: the suggested section, for whose size images are cropped or enlarged.
    """
    rows, counts = survey.rows, survey.counts
    heights, widths = rows["height"].astype(float), rows["width"].astype(float)
    shapes = Counter(zip(rows["width"].tolist(), rows["height"].tolist(), strict=True))
    height, width, _ = data.sample_shape
    aspect = widths / heights
    return {
        "path": data.dir or data.name,
        "source": data.source,
        "images": len(rows),
        "unreadable": list(survey.unreadable),
        "remarks": list(survey.reader.remarks),
        "width": _quantiles(widths),
        "height": _quantiles(heights),
        "shorter_side": _quantiles(np.minimum(heights, widths)),
        "aspect_ratio": _quantiles(aspect),
        "sizes": len(shapes),
        "most_frequent_sizes": [[*size, n] for size, n in shapes.most_common(SHOWN)],
        "formats": dict(counts["format"].most_common()),
        "modes": dict(counts["mode"].most_common()),
        "grey": int(rows["grey"].sum()),
        "one_colour": survey.names(survey.flat()),
        "turned_by_exif": counts["other"]["turned"],
        "several_frames": counts["other"]["animated"],
        "damaged_profiles": counts["notes"]["profile"],
        "dark": counts["notes"]["narrow"],
        "labelled": survey.reader.classes > 0,
        "label_problem": survey.reader.label_problem,
        "classes": survey.classes(),
        "copies": [survey.names(group) for group in survey.copies()],
        "near_copies": [survey.names(group) for group in survey.near_copies()],
        "near_copies_correlation": NEAR,
        "near_copies_compared": min(len(np.unique(rows["content"])), COMPARED),
        "enlarged": int(((heights < height) | (widths < width)).sum()),
        "cropped": int((np.abs(np.log(aspect * height / width)) > 0.01).sum()),
        "unusual": survey.names(survey.unusual()[:SHOWN]),
        "bytes_in_memory": len(rows) * int(np.prod(data.sample_shape)),
    }


def points_report(data: Data) -> dict:
    """Facts about the vectors of a data section, for JSON."""
    reader = open_reader(data)
    points = reader.read(np.arange(len(reader))).samples
    columns = (points.min(0), points.mean(0), points.max(0), points.std(0))
    return {
        "path": data.dir,
        "source": data.source,
        "vectors": len(points),
        "remarks": list(reader.remarks),
        "length": points.shape[1],
        "columns": [
            dict(zip(("least", "mean", "most", "std"), column, strict=True))
            for column in np.transpose(columns).tolist()
        ],
        "copies": [group.tolist() for group in groups(digests(points))],
    }


def _quantiles(values):
    points = np.quantile(values, list(QUANTILES.values()))
    return dict(zip(QUANTILES, points.round(3).tolist(), strict=True))


def lines(report: dict) -> list[str]:
    """The report as aligned lines for a terminal."""
    made = _points(report) if "vectors" in report else _images(report)
    return [f"{name:<13} {text}" for name, text in made if text]


def _points(report):
    copies = [[f"row {row}" for row in group] for group in report["copies"]]
    columns = [
        f"{i}: {' '.join(f'{name} {value:.4g}' for name, value in column.items())}"
        for i, column in enumerate(report["columns"])
    ]
    return [
        ("vectors", f"{report['vectors']:,} of {report['length']} numbers"),
        *(("", remark) for remark in report["remarks"]),
        *_listed("columns", columns),
        ("copies", _grouped(copies, "equal vectors")),
        *_listed("", [" = ".join(_short(group)) for group in copies]),
    ]


def _images(report):
    images, unreadable = report["images"], report["unreadable"]
    found = [f"{images:,} readable"]
    if unreadable:
        found.append(f"{len(unreadable):,} unreadable")
    made = [("images", ", ".join(found))]
    made += [("", remark) for remark in report["remarks"]]
    made += _listed("unreadable", unreadable)
    frequent = ", ".join(
        f"{width}x{height} ({_share(n, images)})"
        for width, height, n in report["most_frequent_sizes"]
    )
    if report["sizes"] > SHOWN:
        frequent += f", {report['sizes']:,} sizes in all"
    made.append(("sizes", frequent))
    if report["sizes"] > 1:
        for name in ("width", "height", "shorter_side", "aspect_ratio"):
            values = (f"{k} {v:,g}" for k, v in report[name].items())
            made.append((name.replace("_", " "), ", ".join(values)))
    flat = report["one_colour"]
    for name in ("formats", "modes"):
        made.append((name, _counted(report[name])))
    made += [
        ("grey", _some(report["grey"], images, "have no colour")),
        (
            "one colour",
            _some(len(flat), images, f"are blank: {', '.join(_short(flat))}"),
        ),
        ("turned", _some(report["turned_by_exif"], images, "are turned by their EXIF")),
        (
            "frames",
            _some(report["several_frames"], images, "have several; the first is used"),
        ),
        ("profiles", _some(report["damaged_profiles"], images, "cannot be applied")),
        ("dark", _some(report["dark"], images, "use 1/16 of their depth at most")),
        ("classes" if report["labelled"] else "folders", _classes(report["classes"])),
        ("labels", report["label_problem"]),
    ]
    copies, near = report["copies"], report["near_copies"]
    made.append(("copies", _grouped(copies, "equal files")))
    made += _listed("", [" = ".join(_short(group)) for group in copies])
    made.append(
        (
            "near copies",
            _grouped(near, f"images that correlate by {NEAR} or more at {SIDE}x{SIDE}"),
        )
    )
    made += _listed("", [" ~ ".join(_short(group)) for group in near])
    if report["near_copies_compared"] == COMPARED:
        made.append(("", f"compared were {COMPARED:,} images, drawn by seed 0"))
    made += [
        ("unusual", ", ".join(report["unusual"])),
        ("as suggested", _fitted(report)),
    ]
    return made


def _fitted(report):
    facts = [f"{report['enlarged']:,} enlarged", f"{report['cropped']:,} cropped"]
    size = format_bytes(report["bytes_in_memory"])
    return f"{', '.join(facts)} of {report['images']:,} images, which take {size}"


def _share(count, total):
    share = 100 * count / total
    return f"{share:.0f} %" if share >= 1 else f"{count:,}"


def _some(count, total, fact):
    return f"{count:,} of {total:,} images {fact}" if count else ""


def _counted(counts):
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _classes(counts):
    if not counts:
        return ""
    largest, smallest = max(counts.values()), min(counts.values())
    shown = dict(Counter(counts).most_common(12))
    text = ", ".join(f"{name}: {count:,}" for name, count in shown.items())
    text += f", ... ({len(counts):,} in all)" * (len(counts) > len(shown))
    if largest >= IMBALANCE * smallest:
        name = min(counts, key=counts.__getitem__)
        text += f"; unbalanced, the smallest is {name} with {smallest:,}"
    return text


def _listed(name, texts):
    shown = [(name if i == 0 else "", text) for i, text in enumerate(texts[:SHOWN])]
    if len(texts) > SHOWN:
        shown.append(("", f"... and {len(texts) - SHOWN:,} more"))
    return shown


def _grouped(groups, noun):
    if not groups:
        return ""
    extra = sum(len(group) - 1 for group in groups)
    plural = "s" * (len(groups) > 1)
    return f"{len(groups):,} group{plural} of {noun}, {extra:,} more than one of each"


def _short(group):
    return group if len(group) <= 4 else [*group[:3], f"... ({len(group)} in all)"]


def contact_sheet(survey: Survey, seed: int) -> np.ndarray:
    """uint8 [h, w, 3]: images drawn by the seed above the most unusual ones."""
    rng = np.random.default_rng(seed)
    count = min(SHEET, len(survey.rows))
    drawn = np.sort(rng.choice(len(survey.rows), count, replace=False))
    halves = [(drawn, f"{count} of {len(survey.rows):,} images, drawn by seed {seed}")]
    if len(survey.rows) > count:
        halves.append((survey.unusual()[:count], f"the {count} most unusual images"))
    parts = [
        pictures.caption(
            pictures.grid(survey.pictures(places, SHEET_SIDE), COLUMNS), text
        )
        for places, text in halves
    ]
    return np.concatenate(parts)
