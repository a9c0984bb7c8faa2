"""What anomaly detection leaves: scores.csv, anomaly.json, curves and a sheet."""

import csv
import json

import jax.numpy as jnp
import numpy as np

from wgan_jax import pictures

PICTURES = ("sheet.png", "roc.png", "precision_recall.png")


def write_report(out, settings, generate, shown, result, curves, facts) -> None:
    """Writes all that there is into the folder `out`.

    settings: the run's `Data`; shown: `anomaly_data.Images`; result: `anomaly.Result`;
    curves: `metrics.anomaly.Separation`, or None where there is none.
    """
    for name in PICTURES:
        # Those of other images must not stay beside these scores.
        (out / name).unlink(missing_ok=True)
    _write_scores(out / "scores.csv", shown, result)
    pictures.save_png(out / "sheet.png", _sheet(settings, generate, shown, result))
    if curves:
        area = f"AUROC {curves.auroc:.4f}"
        labels = "normal images above the threshold", "anomalous images above it"
        pictures.save_png(out / "roc.png", pictures.curve(*curves.roc, area, *labels))
        area = f"average precision {curves.average_precision:.4f}"
        labels = "recall", "precision"
        picture = pictures.curve(*curves.precision_recall, area, *labels)
        pictures.save_png(out / "precision_recall.png", picture)
    # Last, and whole: its presence says that the others are there.
    temporary = out / "anomaly.json.tmp"
    temporary.write_text(json.dumps(facts, indent=2) + "\n")
    temporary.replace(out / "anomaly.json")


def _write_scores(path, shown, result):
    unknown = [""] * len(shown.samples)
    name, names = ("name", shown.names) if shown.names else ("index", shown.places)
    labels = unknown if shown.labels is None else shown.labels
    known = shown.anomalous
    anomalous = unknown if known is None else known.astype(int)
    numbers = (result.scores, *result.parts)
    columns = [[f"{v:.8g}" for v in column] for column in numbers]
    with path.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        header = (name, "score", "residual", "feature", "label", "anomalous")
        writer.writerow(header)
        writer.writerows(zip(names, *columns, labels, anomalous, strict=True))


def _sheet(settings, generate, shown, result, columns=8):
    """Image, reconstruction and residual of the most and of the least anomalous."""
    order = np.argsort(-result.scores, kind="stable")
    columns = min(columns, len(order))
    rows = []
    for which in (order[:columns], order[::-1][:columns]):
        real = shown.samples[which]
        fake = pictures.to_uint8(generate(jnp.asarray(result.z[which])), settings.scale)
        rows.append((real, fake, np.abs(real.astype(float) - fake).mean(-1)))
    # One scale for both, so that their colours compare.
    top = max(residual.max() for _, _, residual in rows) or 1.0
    repeat = max(1, 96 // settings.image_size)
    blocks = []
    for real, fake, residual in rows:
        grey = [np.broadcast_to(v, (*v.shape[:3], 3)) for v in (real, fake)]
        block = np.concatenate([*grey, pictures.heat(residual / top)])
        block = block.repeat(repeat, 1).repeat(repeat, 2)
        blocks.append(pictures.grid(block, columns))
    return np.concatenate([blocks[0], np.full_like(blocks[0][:8], 255), blocks[1]])
