"""Output of anomaly detection: scores.csv, anomaly.json, curves, a grid, heat maps."""

import csv
from pathlib import Path

import numpy as np

from wgan_jax import pictures
from wgan_jax.anogan import encoder, maps, mvtec
from wgan_jax.anogan.detection import Detection
from wgan_jax.anogan.images import Images
from wgan_jax.anogan.scoring import DetectionCurves, detection_curves
from wgan_jax.config import Data
from wgan_jax.errors import UserError, printable
from wgan_jax.files import write_json

PICTURES = ("grid.png", "roc.png", "precision_recall.png")
VERDICTS = ("normal", "anomalous")
# Images in the table of the terminal.
LISTED = 10


def check_out(out: Path) -> None:
    """Raises UserError where `out` is a file or holds anything but anomaly scores."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: give a folder")
    names = {p.name for p in out.iterdir()} if out.exists() else set()
    if names and not names & {"anomaly.json", encoder.FILE}:
        raise UserError(
            f"--out {out} is not empty and holds no anomaly scores (no anomaly.json): "
            "give another --out"
        )


def write_report(
    out: Path,
    data_config: Data,
    generate,
    shown: Images,
    detection: Detection,
    facts: dict,
    heat_maps: Path | None = None,
) -> dict:
    """Writes all files into the folder `out`; returns the content of anomaly.json.

    generate: see `scoring`. facts: run and options, the first entries of anomaly.json.
    heat_maps: folder of one picture per image; None writes none.
    """
    for name in PICTURES:
        # Pictures of other images must not remain next to these scores.
        (out / name).unlink(missing_ok=True)
    known, scores = shown.anomalous, detection.result.scores
    curves = None
    if known is not None and known.any() and not known.all():
        curves = detection_curves(scores, known)
        _write_curves(out, curves)
    _write_scores(out / "scores.csv", shown, detection)
    grid = _extremes(data_config, generate, shown, detection.result)
    pictures.save_png(out / "grid.png", grid)
    differences = None
    if heat_maps or shown.masks is not None:
        fake = maps.reconstruct(generate, detection.result.z, data_config.scale)
        differences = maps.differences(shown.samples, fake)
        if heat_maps:
            words = ("score", "p", "")
            captions = [
                "  ".join(f"{word} {value}".strip() for word, value in zip(words, row))
                for row in (row[1:] for row in _rows(shown, detection))
            ]
            maps.write_heat_maps(
                heat_maps, data_config, shown, fake, differences, captions
            )
    facts = facts | {
        "images": len(shown.samples),
        "normal": None if known is None else int((~known).sum()),
        "anomalous": None if known is None else int(known.sum()),
        "auroc": curves and curves.auroc,
        "average_precision": curves and curves.average_precision,
        **_calibrated(detection, known),
        **_by_defect(shown, detection, differences),
        "seconds_per_image": detection.result.seconds,
    }
    # Last: its presence means that the other files are complete.
    write_json(out / "anomaly.json", facts)
    return facts


def _calibrated(detection, known):
    """Entries on the threshold, and on its errors where the truth is known."""
    threshold = detection.threshold
    if threshold is None:
        return {"threshold": None}
    alarms = detection.anomalous
    facts = {
        "threshold": threshold.value,
        "false_alarm_rate": threshold.rate,
        "false_alarm_range": list(threshold.rate_range()),
        "calibration_images": threshold.count,
        "verdict_anomalous": int(alarms.sum()),
        "false_alarms": None,
        "detected": None,
    }
    if known is None:
        return facts
    false = int(alarms[~known].sum())
    exceeded = threshold.is_exceeded(false, int((~known).sum()))
    return facts | {
        "false_alarms": false,
        "detected": int(alarms[known].sum()),
        "false_alarms_exceeded": exceeded,
    }


def _by_defect(shown, detection, differences):
    """Entries for the defects of a folder in the layout of MVTec AD."""
    if shown.defects is None:
        return {}
    good = shown.defects == mvtec.GOOD

    def pixel_auroc(which):
        return shown.masks and maps.pixel_auroc(differences, shown.masks, which)

    table = {}
    for defect in np.unique(shown.defects[~good]).tolist():
        which = shown.defects == defect
        both, auroc, detected = which | good, None, None
        if good.any():
            scores = detection.result.scores[both]
            auroc = detection_curves(scores, which[both]).auroc
        if detection.anomalous is not None:
            detected = int(detection.anomalous[which].sum())
        table[defect] = {
            "images": int(which.sum()),
            "auroc": auroc,
            "detected": detected,
            "pixel_auroc": pixel_auroc(both),
        }
    with_masks = shown.masks.known & ~good if shown.masks else good & ~good
    return {
        "pixel_auroc": pixel_auroc(np.ones(len(good), bool)),
        "images_with_masks": int(with_masks.sum()),
        "defects": table,
    }


# ---------------------------------------------------------------------------- terminal


def summary(facts: dict, shown: Images, detection: Detection) -> list[str]:
    """The report for the terminal; facts: the content of anomaly.json."""
    lines = [
        f"{facts['run']}, step {facts['step']}, {facts['weights']} weights",
        f"{facts['images']} images, {1000 * facts['seconds_per_image']:.3g} ms each",
        *_verdict_lines(facts),
        *_truth_lines(facts),
        *_defect_lines(facts),
    ]
    order = np.argsort(-detection.result.scores, kind="stable")[:LISTED]
    rows = list(_rows(shown.rows(order), detection, order))
    names = ["image" if shown.names else "index", "score"]
    header = (*names, "p", "verdict") if detection.threshold else names
    return [*lines, "highest scores:", *_table([header, *rows])]


def _verdict_lines(facts):
    if facts["threshold"] is None:
        return ["no threshold (--false-alarm-rate 0): scores only"]
    low, high = facts["false_alarm_range"]
    count = facts["calibration_images"]
    return [
        f"threshold {facts['threshold']:.6g} for a false-alarm rate of "
        f"{facts['false_alarm_rate']:.3g} at most, from {count} normal images (90 % of "
        f"such thresholds have a rate from {low:.3g} to {high:.3g})",
        f"{facts['verdict_anomalous']} of {facts['images']} images are above it",
    ]


def _truth_lines(facts):
    anomalous, normal = facts["anomalous"], facts["normal"]
    if anomalous is None:
        reason = "give --normal-class or --labels to define the anomalous images"
        return [f"no AUROC: {reason}"]
    lines = []
    if facts["threshold"] is not None:
        lines = _rate_lines(facts)
    if not anomalous or not normal:
        kind = "anomalous" if anomalous else "normal"
        return [*lines, f"no AUROC: all images are {kind}"]
    counts = f"{anomalous} anomalous and {normal} normal images"
    average = f"average precision {facts['average_precision']:.4f}"
    return [*lines, f"AUROC {facts['auroc']:.4f} of {counts}", average]


def _rate_lines(facts):
    lines = []
    for kind, key, word in (
        ("normal", "false_alarms", "false alarms"),
        ("anomalous", "detected", "detected"),
    ):
        count, total = facts[key], facts[kind]
        if total:
            share = f"{count / total:.1%}"
            lines.append(f"{word}: {count} of {total} {kind} images ({share})")
    if facts["false_alarms_exceeded"]:
        lines.append(
            "warning: more normal images are above the threshold than chance allows: "
            "they differ from those that the threshold is calibrated on"
        )
    return lines


def _defect_lines(facts):
    if "defects" not in facts:
        return []
    rows = [["defect", "images", "AUROC", "detected", "pixel AUROC"]]
    for name, entry in facts["defects"].items():
        numbers = entry["auroc"], entry["detected"], entry["pixel_auroc"]
        words = [
            "-" if v is None else f"{v}" if isinstance(v, int) else f"{v:.4f}"
            for v in numbers
        ]
        rows.append([printable(name), str(entry["images"]), *words])
    lines = _table(rows)
    if facts["pixel_auroc"] is not None:
        count = facts["images_with_masks"]
        lines.append(f"pixel AUROC {facts['pixel_auroc']:.4f} ({count} masks)")
    return lines


def _rows(shown, detection, order=None):
    """The words of a row for each image: name, score, p-value and verdict.

    order: places of the images `shown` in `detection`; None is theirs.
    """
    order = np.arange(len(shown.samples)) if order is None else order
    for i, place in enumerate(order):
        name = printable(shown.names[i]) if shown.names else str(shown.indices[i])
        words = [name, f"{detection.result.scores[place]:.4g}"]
        if detection.threshold:
            words.append(f"{detection.p_values[place]:.4f}")
            words.append(VERDICTS[int(detection.anomalous[place])])
        yield words


def _table(rows):
    """Lines of columns that are aligned at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip()
        for row in rows
    ]


# ------------------------------------------------------------------------------- files


def _write_curves(out, curves: DetectionCurves):
    title = f"AUROC {curves.auroc:.4f}"
    labels = "normal images above the threshold", "anomalous images above it"
    pictures.save_png(out / "roc.png", pictures.curve(*curves.roc, title, *labels))
    title = f"average precision {curves.average_precision:.4f}"
    picture = pictures.curve(*curves.precision_recall, title, "recall", "precision")
    pictures.save_png(out / "precision_recall.png", picture)


def _write_scores(path, shown, detection):
    unknown = [""] * len(shown.samples)
    name, names = ("name", shown.names) if shown.names else ("index", shown.indices)
    labels = unknown if shown.labels is None else shown.labels
    if shown.label_names:
        labels = [shown.label_names[label] for label in labels]
    labels = labels if shown.defects is None else shown.defects
    known = shown.anomalous
    anomalous = unknown if known is None else known.astype(int)
    threshold, values, verdicts = unknown, unknown, unknown
    if detection.threshold:
        threshold = [f"{detection.threshold.value:.8g}"] * len(shown.samples)
        values = [f"{p:.8g}" for p in detection.p_values]
        verdicts = [VERDICTS[int(v)] for v in detection.anomalous]
    columns = {
        name: names,
        "score": [f"{v:.8g}" for v in detection.result.scores],
        "threshold": threshold,
        "p_value": values,
        "verdict": verdicts,
        "residual": [f"{v:.8g}" for v in detection.result.parts.residual],
        "feature": [f"{v:.8g}" for v in detection.result.parts.feature],
        "label": labels,
        "anomalous": anomalous,
    }
    # The bytes of a file name that is not UTF-8 are written as they are.
    with path.open(
        "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _extremes(data_config, generate, shown, result, columns=8):
    """A grid of the images with the highest and the lowest scores.

    Rows: images, reconstructions, residuals; the highest scores come first.
    """
    order = np.argsort(-result.scores, kind="stable")
    columns = min(columns, len(order))
    which = np.concatenate([order[:columns], order[::-1][:columns]])
    real = shown.samples[which]
    fake = maps.reconstruct(generate, result.z[which], data_config.scale)
    residuals = maps.differences(real, fake)
    # One colour scale for both, so that they are comparable.
    top = float(residuals.max()) or 1.0
    repeat = max(1, maps.SIZE // max(data_config.height_and_width))
    blocks = []
    for rows in (slice(columns), slice(columns, None)):
        block = maps.panels(real[rows], fake[rows], residuals[rows], top)
        block = block.repeat(repeat, 1).repeat(repeat, 2)
        blocks.append(pictures.grid(block, columns))
    return np.concatenate([blocks[0], np.full_like(blocks[0][:8], 255), blocks[1]])
