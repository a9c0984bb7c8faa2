"""Samples of a trained run: `python -m wgan_jax.sample RUN --out grid.png`."""

import dataclasses
import math
import sys
from pathlib import Path
from typing import Annotated

import jax
import numpy as np

from wgan_jax import cli, pictures
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.toys import toy_sample
from wgan_jax.distributed.sharding import require_memory
from wgan_jax.errors import UserError
from wgan_jax.files import check_new, save_npz
from wgan_jax.runs.restore import restore_run
from wgan_jax.runs.sampling import make_sampler, noise, picture, weights

COLUMNS = 8
"""Samples in a row of an interpolation."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Writes samples of a run as a PNG grid, an .npz array or a folder of PNGs."""

    run: Annotated[cli.Positional[str], cli.metavar("RUN")]
    """Directory of the run."""
    num: int = 64
    """Number of samples."""
    seed: int = 0
    """Seed of the noise."""
    out: str = ""
    """NAME.png for a grid, NAME.npz for an array, or a folder for one PNG per sample;
    empty writes samples.png into the run directory."""
    label: int = -1
    """Class of all samples, for a run with model.classes; -1 takes the classes in
    turn."""
    interpolate: bool = False
    """Write rows of eight samples whose noise moves from one point to another."""
    checkpoint: str = ""
    """Step of the checkpoint; empty is the newest, best the best one in training (with
    run.evaluate_every)."""
    raw: bool = False
    """Use the weights of the last step even if the run has averaged ones."""
    average: bool = False
    """Use the averaged weights, or fail if the run has none."""
    overwrite: bool = False
    """Replace what --out names; in a folder, the samples of an earlier command."""


def main(argv=None) -> int:
    """Runs the command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    options = cli.parse(Options, argv, "python -m wgan_jax.sample")
    cli.require(options, "num", 1)
    cli.require(options, "seed", 0, cli.SEEDS)
    cli.refuse_together(options, "raw", "average")
    config, spec, state = restore_run(options.run, options.checkpoint)
    if options.average and state.ema is None:
        raise UserError(
            f"--average: {options.run} has no averaged weights (optimizer.ema_decay=0)"
        )
    if options.label != -1 and not 0 <= options.label < spec.classes:
        classes = f"from 0 to {spec.classes - 1}" if spec.classes else "none"
        raise UserError(
            f"--label {options.label} is not a class of {options.run}, whose classes "
            f"are {classes}: omit --label, or give one of them"
        )
    size = 4 * (spec.z_dim + math.prod(config.data.sample_shape))
    arithmetic = f"{options.num:,} samples with their noise x {size:,} bytes"
    require_memory(f"--num {options.num}", options.num * size, arithmetic)
    out = Path(options.out or Path(options.run) / "samples.png")
    _check_out(out, config)
    if options.out:
        check_new(out, "--out", options.overwrite)
    z, labels = _make_inputs(options, spec)
    samples = make_sampler(config, spec)(*weights(state, options.raw), z, labels)
    columns = COLUMNS if options.interpolate else 0
    _write(out, samples, labels if spec.classes else None, config, columns)
    print(f"{len(samples)} samples of step {int(state.step)}: {out}")
    return 0


def _make_inputs(options, spec):
    """Noise [n, z_dim] and labels [n] of the samples."""
    z, row = noise(options.seed, options.num, spec.z_dim), 1
    if options.interpolate:
        row = COLUMNS
        rows = -(-options.num // row)
        ends = noise(options.seed, 2 * rows, spec.z_dim)
        z = pictures.interpolation(ends[:rows], ends[rows:], row)
    if options.label >= 0:
        return z, np.full(len(z), options.label)
    # A row of an interpolation has one class.
    return z, np.arange(len(z)) // row % max(spec.classes, 1)


def _check_out(out, config):
    if out.suffix not in (".png", ".npz", ""):
        raise UserError(f"--out {out} must end in .png or .npz, or be a folder")
    if out.suffix == "" and config.data.is_points:
        raise UserError(f"--out {out}: points need a name that ends in .png or .npz")


def _write(out, samples, labels, config, columns):
    points = config.data.is_points
    (out if out.suffix == "" else out.parent).mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        arrays = {"points" if points else "images": samples}
        if labels is not None:
            arrays["labels"] = labels.astype(np.int32)
        save_npz(out, **arrays)
    elif out.suffix == ".png":
        real = np.zeros((0, 2))
        if config.data.is_toy:
            real = np.asarray(toy_sample(config.data.source, jax.random.key(0), 1000))
        elif points:
            real = load_in_memory(config.data).heldout[:1000]
        pictures.save_png(out, picture(samples, real, columns))
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
