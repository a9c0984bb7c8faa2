"""Samples of a trained run: `python -m wgan_jax.sample RUN --out grid.png`."""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np

from wgan_jax import cli, pictures
from wgan_jax.data.dataset import load_in_memory
from wgan_jax.data.toys import toy_sample
from wgan_jax.errors import UserError
from wgan_jax.runs.restore import restore_run
from wgan_jax.runs.sampling import make_sampler, noise, picture, weights


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Draws samples from a run: a PNG sheet, an .npz array or a folder of PNGs."""

    run: cli.Positional[str]
    """Directory of the run."""
    num: int = 64
    """Samples to draw."""
    seed: int = 0
    """Seed of the noise."""
    out: str = ""
    """NAME.png for one sheet, NAME.npz for an array, or a folder for a PNG each; empty
    writes samples.png into the run directory."""
    label: int = -1
    """Draw this class only, of a run with model.classes; -1 takes them in turn."""
    interpolate: bool = False
    """Rows of eight samples whose noise moves from one point to another."""
    checkpoint: str = ""
    """Step of the checkpoint; empty takes the newest, best the one that was best in
    training, where run.evaluate_every was set."""
    raw: bool = False
    """Take the weights of the last step even where the run keeps averaged ones."""
    average: bool = False
    """Take the averaged weights, or fail where the run keeps none."""


def main(argv=None) -> int:
    """Draws the samples and writes them where they were asked for."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.sample"
    )
    if arguments.num < 1:
        raise UserError(f"--num {arguments.num} must be 1 or more")
    if arguments.raw and arguments.average:
        raise UserError("--raw and --average exclude each other: give one of them")
    config, spec, state = restore_run(arguments.run, arguments.checkpoint)
    if arguments.average and state.ema is None:
        raise UserError(
            f"--average: {arguments.run} keeps no averaged weights, for it was trained "
            "with optimizer.ema_decay=0"
        )
    if not -1 <= arguments.label < spec.classes and arguments.label != -1:
        known = f"from 0 to {spec.classes - 1}" if spec.classes else "none at all"
        raise UserError(
            f"--label {arguments.label} is not a class of {arguments.run}, which has "
            f"{known}: leave --label out, or take one of them"
        )
    z, columns = noise(arguments.seed, arguments.num, spec.z_dim), 0
    if arguments.interpolate:
        columns = 8
        rows = -(-arguments.num // columns)
        ends = noise(arguments.seed, 2 * rows, spec.z_dim)
        z = pictures.interpolation(ends[:rows], ends[rows:], columns)
    labels = np.arange(len(z)) % max(spec.classes, 1)
    if arguments.label >= 0:
        labels = np.full(len(z), arguments.label)
    elif arguments.interpolate:
        # A row of one class, which only its noise changes.
        labels = np.arange(len(z)) // columns % max(spec.classes, 1)
    sampler = make_sampler(config, spec)
    samples = sampler(*weights(state, arguments.raw), z, labels)
    out = Path(arguments.out or Path(arguments.run) / "samples.png")
    _write(out, samples, labels if spec.classes else None, config, columns)
    print(f"{len(samples)} samples of step {int(state.step)}: {out}")
    return 0


def _write(out, samples, labels, config, columns):
    points = config.data.is_points
    if out.suffix not in (".png", ".npz", ""):
        raise UserError(f"--out {out} must end in .png or .npz, or name a folder")
    if out.suffix == "" and points:
        raise UserError(f"--out {out}: points have no picture each; take .png or .npz")
    (out if out.suffix == "" else out.parent).mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        told = {} if labels is None else {"labels": labels.astype(np.int32)}
        np.savez(out, **{"points" if points else "images": samples}, **told)
    elif out.suffix == ".png":
        real = np.zeros((0, 2))
        if config.data.is_toy:
            key = jax.random.key(0)
            real = np.asarray(toy_sample(config.data.source, key, 1000))
        elif points:
            real = load_in_memory(config.data).heldout[:1000]
        pictures.save_png(out, picture(samples, real, columns))
    else:
        digits = len(str(len(samples) - 1))
        for i, image in enumerate(samples):
            pictures.save_png(out / f"{i:0{digits}}.png", image)


if __name__ == "__main__":
    cli.run(main)
