"""Output of anomaly detection: scores.csv, anomaly.json, curves and a grid."""

import csv
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from wgan_jax import pictures
from wgan_jax.anogan import encoder
from wgan_jax.anogan.images import Images
from wgan_jax.anogan.scoring import DetectionCurves, Result, detection_curves
from wgan_jax.config import Data
from wgan_jax.errors import UserError
from wgan_jax.files import write_json

PICTURES = ("grid.png", "roc.png", "precision_recall.png")


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
    out: Path, data_config: Data, generate, shown: Images, result: Result, facts: dict
) -> dict:
    """Writes all files into the folder `out`; returns the content of anomaly.json.

    generate: see `scoring`. facts: run and options, the first entries of anomaly.json.
    """
    for name in PICTURES:
        # Pictures of other images must not remain next to these scores.
        (out / name).unlink(missing_ok=True)
    known = shown.anomalous
    curves = None
    if known is not None and known.any() and not known.all():
        curves = detection_curves(result.scores, known)
        _write_curves(out, curves)
    _write_scores(out / "scores.csv", shown, result)
    pictures.save_png(out / "grid.png", _extremes(data_config, generate, shown, result))
    facts = facts | {
        "images": len(shown.samples),
        "normal": None if known is None else int((~known).sum()),
        "anomalous": None if known is None else int(known.sum()),
        "auroc": curves and curves.auroc,
        "average_precision": curves and curves.average_precision,
        "seconds_per_image": result.seconds,
    }
    # Last: its presence means that the other files are complete.
    write_json(out / "anomaly.json", facts)
    return facts


def summary(facts: dict) -> list[str]:
    """The report for the terminal, from the content of anomaly.json."""
    lines = [
        f"{facts['run']}, step {facts['step']}, {facts['weights']} weights",
        f"{facts['images']} images, {1000 * facts['seconds_per_image']:.3g} ms each",
    ]
    anomalous, normal = facts["anomalous"], facts["normal"]
    if anomalous is None:
        reason = "give --normal-class or --labels to define the anomalous images"
        return [*lines, f"no AUROC: {reason}"]
    if not anomalous or not normal:
        kind = "anomalous" if anomalous else "normal"
        return [*lines, f"no AUROC: all images are {kind}"]
    counts = f"{anomalous} anomalous and {normal} normal images"
    lines.append(f"AUROC {facts['auroc']:.4f} of {counts}")
    return [*lines, f"average precision {facts['average_precision']:.4f}"]


def _write_curves(out, curves: DetectionCurves):
    title = f"AUROC {curves.auroc:.4f}"
    labels = "normal images above the threshold", "anomalous images above it"
    pictures.save_png(out / "roc.png", pictures.curve(*curves.roc, title, *labels))
    title = f"average precision {curves.average_precision:.4f}"
    picture = pictures.curve(*curves.precision_recall, title, "recall", "precision")
    pictures.save_png(out / "precision_recall.png", picture)


def _write_scores(path, shown, result):
    unknown = [""] * len(shown.samples)
    name, names = ("name", shown.names) if shown.names else ("index", shown.indices)
    labels = unknown if shown.labels is None else shown.labels
    known = shown.anomalous
    anomalous = unknown if known is None else known.astype(int)
    numbers = (result.scores, *result.parts)
    columns = [[f"{v:.8g}" for v in column] for column in numbers]
    # The bytes of a file name that is not UTF-8 are written as they are.
    with path.open(
        "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as opened:
        writer = csv.writer(opened, lineterminator="\n")
        header = (name, "score", "residual", "feature", "label", "anomalous")
        writer.writerow(header)
        writer.writerows(zip(names, *columns, labels, anomalous, strict=True))


def _extremes(data_config, generate, shown, result, columns=8):
    """A grid of the images with the highest and the lowest scores.

    Rows: images, reconstructions, residuals; the highest scores come first.
    """
    order = np.argsort(-result.scores, kind="stable")
    columns = min(columns, len(order))
    rows = []
    for which in (order[:columns], order[::-1][:columns]):
        real = shown.samples[which]
        fake = generate(jnp.asarray(result.z[which]))
        fake = pictures.to_uint8(fake, data_config.scale)
        rows.append((real, fake, np.abs(real.astype(float) - fake).mean(-1)))
    # One colour scale for both, so that they are comparable.
    top = max(residual.max() for _, _, residual in rows) or 1.0
    repeat = max(1, 96 // max(data_config.height_and_width))
    blocks = []
    for real, fake, residual in rows:
        grey = [np.broadcast_to(v, (*v.shape[:3], 3)) for v in (real, fake)]
        block = np.concatenate([*grey, pictures.heat(residual / top)])
        block = block.repeat(repeat, 1).repeat(repeat, 2)
        blocks.append(pictures.grid(block, columns))
    return np.concatenate([blocks[0], np.full_like(blocks[0][:8], 255), blocks[1]])
