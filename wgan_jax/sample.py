"""Samples of a trained run: `python -m wgan_jax.sample RUN --out grid.png`."""

import dataclasses
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np

from wgan_jax import cli, data, images, steps
from wgan_jax.checkpoint import Checkpoints
from wgan_jax.config import Config, UserError
from wgan_jax.run_directory import BEST_CHECKPOINTS, read_best, read_config
from wgan_jax.state import Spec, TrainState, init_state, make_spec


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


def restore(run, checkpoint: int | str = "") -> tuple[Config, Spec, TrainState]:
    """Configuration, networks and state of a run at a checkpoint.

    checkpoint: a step, "best" as training found it by run.evaluate_every, or "" or -1
    for the newest. Raises UserError where there is no such run or checkpoint.
    """
    config = read_config(run)
    best = checkpoint == "best"
    step = -1 if best or checkpoint == "" else _step(checkpoint)
    if best and not read_best(run):
        raise UserError(
            f"--checkpoint best: {run} has none, for run.evaluate_every="
            f"{config.run.evaluate_every}: give a step, or train with "
            "--run.evaluate-every N"
        )
    spec = make_spec(config, draw=None)
    state = jax.jit(partial(init_state, spec=spec))(jax.random.key(0))
    with _open(run, config, BEST_CHECKPOINTS if best else "checkpoints") as checkpoints:
        saved = checkpoints.steps()
        if not saved:
            raise UserError(f"{run} has no checkpoint yet")
        if step == -1:
            state = checkpoints.restore_newest(state, print, move=False)
            return config, spec, state
        if step not in saved:
            known = ", ".join(map(str, saved))
            raise UserError(f"--checkpoint {step} is not kept: {run} has {known}")
        try:
            return config, spec, checkpoints.restore(state, step)
        except UserError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"--checkpoint {step} of {run} is damaged: {reason}") from (
                error
            )


def checkpoint_steps(run) -> list[int]:
    """The steps of a run's checkpoints, oldest first; UserError where it has none."""
    with _open(run, read_config(run), "checkpoints") as checkpoints:
        saved = checkpoints.steps()
    if not saved:
        raise UserError(f"{run} has no checkpoint yet")
    return saved


def _open(run, config, name):
    directory = Path(run) / name
    if not directory.is_dir():
        raise UserError(f"{run} has no checkpoints")
    return Checkpoints(directory, config.run.keep, config.run.keep_every)


def _step(checkpoint):
    try:
        return int(checkpoint)
    except ValueError:
        raise UserError(
            f"--checkpoint {checkpoint} must be a step, best, or empty for the newest"
        ) from None


def make_sampler(config: Config, spec: Spec):
    """sampler(params, stats, z, labels=None) -> numpy uint8 images [n, h, w, c], or
    points [n, 2].

    By running statistics, so that a sample depends on its own noise alone. labels:
    int32 [n] of a run with classes; None takes them in turn.
    """

    @jax.jit
    def generate(params, stats, z, labels):
        return steps.generate(spec, params, stats, z, labels, train=False)[0]

    def sampler(params, stats, z, labels=None):
        size = min(len(z), 256)
        if labels is None:
            labels = np.arange(len(z)) % max(spec.classes, 1)
        parts = []
        for start in range(0, len(z), size):
            part = z[start : start + size]
            # One shape is compiled once; the last part is filled up and cut.
            missing = size - len(part)
            full = np.pad(part, ((0, missing), (0, 0)))
            told = np.pad(labels[start : start + size], (0, missing)).astype(np.int32)
            parts.append(np.asarray(generate(params, stats, full, told))[: len(part)])
        samples = np.concatenate(parts)
        return (
            samples
            if config.data.is_points
            else images.to_uint8(samples, config.data.scale)
        )

    return sampler


def weights(state: TrainState, raw: bool = False):
    """Parameters and statistics to sample by: the averaged ones where they are kept."""
    net = state.generator if raw or state.average is None else state.average
    return net.params, net.stats


def noise(seed: int, count: int, z_dim: int) -> np.ndarray:
    """Standard normal noise [count, z_dim], the same for a seed on every device."""
    return np.asarray(jax.random.normal(jax.random.key(seed), (count, z_dim)))


def picture(samples: np.ndarray, real: np.ndarray, columns: int = 0) -> np.ndarray:
    """Samples as one picture: a grid of images, or points before the real ones."""
    if samples.ndim == 2:
        # The toys keep their window, so that their pictures compare.
        reach = max(2.2, 1.1 * float(np.abs(real[:, :2]).max(initial=0)))
        return images.scatter(samples, real, reach=reach)
    return images.grid(samples, columns)


def main(argv=None) -> int:
    """Draws the samples and writes them where they were asked for."""
    arguments = cli.parse(
        Arguments, sys.argv[1:] if argv is None else argv, "python -m wgan_jax.sample"
    )
    if arguments.num < 1:
        raise UserError(f"--num {arguments.num} must be 1 or more")
    if arguments.raw and arguments.average:
        raise UserError("--raw and --average exclude each other: give one of them")
    config, spec, state = restore(arguments.run, arguments.checkpoint)
    if arguments.average and state.average is None:
        raise UserError(
            f"--average: {arguments.run} keeps no averaged weights, for it was trained "
            "with optimizer.average=0"
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
        z = images.interpolation(ends[:rows], ends[rows:], columns)
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
            real = np.asarray(data.toy_sample(config.data.source, key, 1000))
        elif points:
            real = data.load(config.data).heldout[:1000]
        images.save_png(out, picture(samples, real, columns))
    else:
        digits = len(str(len(samples) - 1))
        for i, image in enumerate(samples):
            images.save_png(out / f"{i:0{digits}}.png", image)


if __name__ == "__main__":
    cli.run(main)
