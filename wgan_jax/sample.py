"""Samples of a trained run: `python -m wgan_jax.sample RUN --out grid.png`."""

import dataclasses
import math
import sys
from pathlib import Path
from typing import Annotated

import jax
import numpy as np

from wgan_jax import cli, pictures
from wgan_jax.data.record import NO_DATA, undo_standardise
from wgan_jax.data.text import decode
from wgan_jax.data.toys import toy_sample
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.files import check_new, save_npz, write_text
from wgan_jax.runs.directory import describe_parent, read_data_record, read_parent
from wgan_jax.runs.film import FORMATS, write_film
from wgan_jax.runs.restore import at_run_precision, load_data, restore_run
from wgan_jax.runs.sampling import (
    caption,
    make_sampler,
    noise,
    picture,
    read_latents,
    weights,
)
from wgan_jax.runs.sampling import labels as draw_labels

COLUMNS = 8
"""Samples in a row of an interpolation."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes samples of a run as a PNG grid, an array, a folder of PNGs, or text."""

    run: Annotated[cli.Positional[str], cli.metavar("RUN")]
    """Directory of the run."""
    num: int = 64
    """Number of samples."""
    seed: int = 0
    """Seed of the noise."""
    latents: str = ""
    """Noise of the samples instead of --num and --seed: an .npz file with latents and,
    for a run with model.classes, labels, as this command writes it; or an .npy file."""
    truncation: float = 0.0
    """Draw each coordinate of the noise from the normal distribution between -X and X,
    as by drawing again while it is outside (BigGAN): more typical, less varied samples.
    0 does not."""
    out: str = ""
    """NAME.png for a grid, NAME.npz for an array, or a folder for one PNG per sample;
    NAME.txt or NAME.npz for a run on text; empty writes samples.png or samples.txt into
    the run directory."""
    label: str = ""
    """Label of all samples, its number or name in the data, for a run with
    model.classes. Empty draws an array and a folder in the shares of the data
    (model.label_sampling); a grid shows the classes in turn."""
    scale: int = 1
    """Side in pixels of the square that shows a pixel of an image in a grid."""
    save_latents: str = ""
    """Also write noise and labels to NAME.npz, for --latents; an array of samples has
    them already."""
    interpolate: bool = False
    """Write rows of eight samples whose noise moves from one point to another."""
    checkpoint: str = ""
    """Step of the checkpoint; empty or last is the newest, best the best one in
    training (with run.evaluate_every)."""
    raw: bool = False
    """Use the weights of the last step even if the run has averaged ones."""
    average: bool = False
    """Use the averaged weights, or fail if the run has none."""
    film: str = ""
    """Instead of samples, write the run's grids of fixed noise as a film, NAME.webp or
    NAME.gif. A smaller run.sample_every gives more frames."""
    film_seconds: float = 6.0
    """Duration of the film."""
    accept_changed_data: bool = False
    """Draw points over real ones although these have changed, and record the change."""
    overwrite: bool = False
    """Replace what --out and --save-latents name; in a folder, the samples of an
    earlier command."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    options = cli.parse(Options, argv, "python -m wgan_jax.sample")
    cli.require(options, "num", 1)
    cli.require(options, "seed", 0, cli.SEEDS)
    cli.require(options, "scale", 1, 64)
    cli.refuse_together(options, "raw", "average")
    if options.film or cli.given(argv, "--film-seconds"):
        return _film(options, argv)
    if not 0 <= options.truncation < math.inf:
        raise UserError(
            f"--truncation {options.truncation:g} must be positive, as 0.7, or 0"
        )
    for name in ("num", "seed", "truncation", "interpolate"):
        if options.latents and cli.given(argv, f"--{name}"):
            raise UserError(
                f"--{name} cannot be combined with --latents, which gives the noise: "
                "leave it out"
            )
    return _sample(options.run, options)


def _film(options, argv):
    if not options.film:
        raise UserError("--film-seconds is the duration of a film: add --film FILE")
    path = Path(options.film)
    used = ("run", "film", "film_seconds", "overwrite")
    for field in dataclasses.fields(Options):
        option = f"--{field.name.replace('_', '-')}"
        if field.name not in used and cli.given(argv, option):
            raise UserError(
                f"{option} cannot be combined with --film, which shows grids that the "
                "run has drawn: leave one of them out"
            )
    if path.suffix not in FORMATS:
        raise UserError(f"--film {path} must end in {' or '.join(FORMATS)}")
    if not 0.1 <= options.film_seconds <= 600:
        raise UserError(
            f"--film-seconds {options.film_seconds} must be from 0.1 to 600"
        )
    check_new(path, "--film", options.overwrite)
    steps = write_film(options.run, path, options.film_seconds)
    print(f"{len(steps)} grids of steps {steps[0]} to {steps[-1]}: {path}")
    return 0


@at_run_precision
def _sample(run, options):
    config, spec, state = restore_run(run, options.checkpoint)
    if options.average and state.ema is None:
        raise UserError(
            f"--average: {run} has no averaged weights (optimizer.ema_decay=0)"
        )
    record = NO_DATA
    if spec.classes:
        record = read_data_record(run)
        if not record.labels:
            # Converted weights have no data.
            record = dataclasses.replace(record, labels=tuple(range(spec.classes)))
    # The label of each class in the data.
    names = np.array(record.labels, int)
    options = dataclasses.replace(options, label=_label(run, options.label, record))
    size = 4 * (spec.z_dim + math.prod(config.data.sample_shape))
    arithmetic = f"{options.num:,} samples with their noise x {size:,} bytes"
    require_memory(f"--num {options.num}", options.num * size, arithmetic)
    suffix = ".txt" if config.data.is_text else ".png"
    out = Path(options.out or Path(run) / f"samples{suffix}")
    _check_out(out, options, config)
    if options.out:
        check_new(out, "--out", options.overwrite)
    side = Path(options.save_latents)
    if options.save_latents:
        if side.suffix != ".npz" or side == out:
            raise UserError(
                f"--save-latents {side} must end in .npz and differ from --out"
            )
        check_new(side, "--save-latents", options.overwrite)
    z, labels = _make_inputs(options, spec, names, in_turn=out.suffix == ".png")
    samples = make_sampler(config, spec)(*weights(state, options.raw), z, labels)
    columns = COLUMNS if options.interpolate else 0
    text = caption(int(state.step), state, options.raw)
    if options.truncation:
        text += f", noise within {options.truncation:g}"
    real = np.zeros((0, 2))
    if out.suffix == ".png" and config.data.is_points:
        real = _real_points(options, config)
    labels = names[labels] if len(names) else None
    inputs: dict[str, np.ndarray] = {"latents": np.asarray(z, np.float32)}
    if labels is not None:
        inputs["labels"] = labels.astype(np.int32)
    if options.save_latents:
        side.parent.mkdir(parents=True, exist_ok=True)
        save_npz(side, **inputs)
    if config.data.is_text:
        lines = decode(samples, read_data_record(run).vocabulary)
        samples = np.array(lines)
    if out.suffix == ".png" and options.scale > 1:
        samples = samples.repeat(options.scale, 1).repeat(options.scale, 2)
    _write(out, samples, inputs, real, columns, text)
    print(f"{len(samples)} samples of {text}: {out}")
    if parent := read_parent(run):
        print(f"started from {describe_parent(parent)}")
    return 0


def _label(run, text, record):
    """The label that --label names; -1 without one."""
    if not text:
        return -1
    label = record.label_called(text)
    if label is None:
        known = "has none"
        if record.labels:
            known = f"has {_listed(record.label_names or record.labels)}"
        raise UserError(
            f"--label {text} is not a label of {run}, which {known}: omit --label, or "
            "give one of them"
        )
    return label


def _listed(names):
    first, last = names[0], names[-1]
    if type(first) is int and len(names) > 2 and last - first == len(names) - 1:
        return f"{first} to {last}"
    more = ", ..." * (len(names) > 20)
    return ", ".join(map(str, names[:20])) + more


def _make_inputs(options, spec, names, in_turn):
    """Noise [n, z_dim] and classes [n] of the samples."""
    row = 1
    if options.latents:
        z, classes = read_latents(options.latents, spec, names)
        if classes is not None and options.label != -1:
            raise UserError(
                f"--label cannot be combined with the labels in --latents "
                f"{options.latents}: leave it out"
            )
        if classes is not None:
            return z, classes
        in_turn = True
    else:
        z = noise(options.seed, options.num, spec.z_dim, options.truncation)
    if options.interpolate:
        row = COLUMNS
        rows = -(-options.num // row)
        ends = noise(options.seed, 2 * rows, spec.z_dim, options.truncation)
        z = pictures.interpolation(ends[:rows], ends[rows:], row)
    if options.label != -1:
        return z, np.full(len(z), np.flatnonzero(names == options.label)[0])
    if in_turn or options.interpolate:
        # A row of an interpolation has one class.
        return z, np.arange(len(z)) // row % max(len(names), 1)
    return z, draw_labels(spec, options.seed, len(z))


def _check_out(out, options, config):
    if config.data.is_text:
        if out.suffix not in (".txt", ".npz"):
            raise UserError(f"--out {out} must end in .txt or .npz for a run on text")
        if options.scale > 1:
            raise UserError(
                f"--scale {options.scale} applies to a grid of images: leave it out"
            )
        return
    if out.suffix not in (".png", ".npz", ""):
        raise UserError(f"--out {out} must end in .png or .npz, or be a folder")
    if out.suffix == "" and config.data.is_points:
        raise UserError(f"--out {out}: points need a name that ends in .png or .npz")
    if options.scale > 1 and (out.suffix != ".png" or config.data.is_points):
        raise UserError(
            f"--scale {options.scale} applies to a grid of images (--out NAME.png): "
            "leave it out"
        )


def _real_points(options, config):
    """Real points [n, d], to be drawn under the samples."""
    if config.data.is_toy:
        return np.asarray(toy_sample(config.data.source, jax.random.key(0), 1000))
    accept = options.accept_changed_data
    dataset = load_data(options.run, config, accept, in_memory=True)
    return undo_standardise(dataset.heldout[:1000], dataset.record.scales)


def _write(out, samples, inputs, real, columns, text):
    (out if out.suffix == "" else out.parent).mkdir(parents=True, exist_ok=True)
    if out.suffix == ".txt":
        size = columns or len(samples)
        parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        write_text(out, "\n".join("".join(f"{s}\n" for s in part) for part in parts))
    elif out.suffix == ".npz":
        name = {1: "lines", 2: "points"}.get(samples.ndim, "images")
        save_npz(out, **{name: samples}, **inputs)
    elif out.suffix == ".png":
        shown = pictures.caption(picture(samples, real, columns), text)
        pictures.save_png(out, shown)
    else:
        for old in out.glob("*.png"):
            # Samples of two commands in one folder would be measured as one set.
            if old.stem.isdecimal():
                old.unlink()
        digits = len(str(len(samples) - 1))
        for i, image in enumerate(samples):
            pictures.save_png(out / f"{i:0{digits}}.png", image)


if __name__ == "__main__":
    cli.run(main)
