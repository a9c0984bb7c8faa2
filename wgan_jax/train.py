"""Trains a configuration: `python -m wgan_jax.train --config configs/digits.py`."""

import dataclasses
import math
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import (
    cli,
    config,
    data,
    describe,
    diagnostics,
    images,
    losses,
    run_directory,
    steps,
)
from wgan_jax.checkpoint import Checkpoints
from wgan_jax.config import Config, UserError
from wgan_jax.log import ProgressLine, RunLog, duration
from wgan_jax.sample import make_sampler, picture, weights
from wgan_jax.state import init_state, make_spec
from wgan_jax.validation import validate
from wgan_jax.watch import Watch, keep_best


@dataclasses.dataclass(frozen=True)
class Arguments(Config):
    """Trains a Wasserstein GAN, or goes on with a run that was stopped."""

    config: str = ""
    """Python file whose get_config() gives the configuration."""
    out: str = ""
    """Run directory; empty is runs/NAME for configs/NAME.py."""
    seed: int = 0
    """Short for --run.seed."""
    dry_run: bool = False
    """Print the resolved configuration, networks and cost, compile, and stop."""
    fresh: bool = False
    """Move a run that is in --out aside, to OUT.1, and start again."""
    extend: bool = False
    """Go on with a run in --out that had fewer run.steps."""


def parse(argv) -> Arguments:
    """The command line over the configuration file over the defaults."""
    loaded, arguments = cli.parse_config(
        Arguments, argv, "python -m wgan_jax.train", seed=lambda cfg: cfg.run.seed
    )
    if not arguments.config:
        raise UserError("--config is missing: name a file, as in configs/digits.py")
    if arguments.seed != loaded.run.seed:
        run = dataclasses.replace(arguments.run, seed=arguments.seed)
        arguments = dataclasses.replace(arguments, run=run)
    return arguments


def main(argv=None) -> int:
    """Parses, builds, restores and trains; returns the exit status."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    sections = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config)}
    cfg = Config(**sections)
    validate(cfg)
    jax.config.update("jax_default_matmul_precision", cfg.run.precision)
    out = Path(arguments.out or f"runs/{Path(arguments.config).stem}")
    if not arguments.dry_run:
        # First of all, so that a directory that will not do costs no waiting.
        run_directory.claim(out, cfg, fresh=arguments.fresh, extend=arguments.extend)
    dataset = data.load(cfg.data)
    labelled = bool(cfg.model.classes)
    draw = data.make_draw(cfg.data, len(dataset.train), labelled)
    spec = make_spec(cfg, draw)
    keys = jax.random.split(jax.random.key(cfg.run.seed), 4)
    samples = jax.device_put(_samples(cfg, dataset))
    state = jax.jit(partial(init_state, spec=spec))(keys[0])
    if arguments.dry_run:
        flops = describe.cycle_flops(state, samples, spec)
        describe.print_plan(cfg, spec, run_directory.environment(cfg), flops)
        _compile(state, samples, spec)
        return 0
    watch = Watch(cfg, spec, dataset) if cfg.run.evaluate_every else None
    run_directory.begin(out, cfg)
    keep = (cfg.run.keep, cfg.run.keep_every)
    with Checkpoints(out / "checkpoints", *keep) as checkpoints:
        saved = checkpoints.restore_newest(state, print, move=True)
        if saved is not None:
            print(f"going on with {out} from step {int(saved.step)}")
        look = _Look(cfg, spec, dataset, samples, keys[1:], out, watch)
        return _train(cfg, spec, saved or state, samples, look, checkpoints, out)


def _train(cfg, spec, state, samples, look, checkpoints, out):
    """The loop over chunks: all of the impure part of training."""
    run, step = cfg.run, int(state.step)
    if step >= run.steps:
        print(f"{out} is trained to the end, step {step}; more: --run.steps N --extend")
        return 0
    stop = _StopRequest()
    chunk = _compile(state, samples, spec)
    look.warm_up(state)
    with RunLog(out, step, run.tensorboard) as log:
        if step == 0:
            log.text("config", config.to_json(cfg))
            log.picture(0, "real", look.real())
        record = partial(_record, _Clock(step), cfg, log, ProgressLine())
        saved, waiting, done = step, None, stop.requested
        while not done:
            count = min(run.chunk - step % run.chunk, run.steps - step)
            state, metrics = chunk(state, samples, jnp.int32(count))
            step += count
            if waiting:
                # Read while the chunk just begun keeps the device busy.
                record(*waiting, saved)
                waiting = None
            # Asked once: a signal later in this round ends the next one.
            done = step == run.steps or stop.requested
            draw = done or (run.sample_every and step % run.sample_every == 0)
            save = done or step % run.checkpoint_every == 0
            judge = run.evaluate_every and step % run.evaluate_every == 0
            if draw or save or judge or step % run.log_every == 0:
                waiting = (step, metrics | look.critic(state, step))
            if draw or save or judge:
                # Nothing is kept of a state that is not known to be finite.
                record(*waiting, saved, judge and partial(look.judge, state))
                waiting = None
            if draw:
                sheet = look.draw(state, step, log)
            if save:
                checkpoints.save(state)
                saved = step
        checkpoints.wait()
    if step < run.steps:
        print(f"\nstopped at step {step}, all saved; the same command goes on from it")
    else:
        print(f"\ndone: {step} steps, samples in {sheet}")
    return 0


def _samples(cfg, dataset):
    """What batches are drawn from: samples, with classes beside their labels."""
    classes, labels = cfg.model.classes, dataset.train_labels
    if not classes:
        return dataset.train
    if labels is None:
        raise UserError(
            f"model.classes={classes} needs labels, which data.source="
            f"{cfg.data.source} does not have here: take model.classes=0"
        )
    if labels.max() >= classes:
        raise UserError(
            f"model.classes={classes} is too few for the labels, which go up to "
            f"{labels.max()}: take model.classes={labels.max() + 1}"
        )
    return dataset.train, labels


def _compile(state, samples, spec):
    print("compiling ...", flush=True)
    start = time.perf_counter()
    train_chunk = jax.jit(partial(steps.train_chunk, spec=spec), donate_argnums=0)
    compiled = train_chunk.lower(state, samples, jnp.int32(1)).compile()
    print(f"compiled in {time.perf_counter() - start:.1f} s", flush=True)
    return compiled


def _record(clock, cfg, log, line, step, metrics, saved, judge=None):
    """Reads one record from the device, writes it, and shows it.

    judge() -> more of it, once the rest is known to be finite. Raises UserError where
    it is not; `saved` is the last step kept.
    """
    values = {name: float(value) for name, value in metrics.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        kept = f"step {saved} is kept" if saved else "nothing is kept yet"
        raise UserError(
            f"{bad[0]} is not finite between steps {clock.step} and {step}: training "
            f"has diverged; {kept}, and a lower learning rate is the first thing to try"
        )
    rate = clock.rate(step)
    judged = {}
    if judge:
        line.clear()
        judged = clock.leave_out(judge)
    values |= judged | {"cycles_per_second": rate, "seconds": clock.elapsed()}
    log.write(step, values)
    estimate = losses.ESTIMATES[cfg.objective.kind]
    images_per_second = rate * cfg.objective.n_critic * cfg.data.batch_size
    text = [
        f"step {step}/{cfg.run.steps}",
        f"{rate:.3g} cycles/s",
        f"{images_per_second:.3g} images/s",
        f"{estimate} {values[estimate]:.4g}",
    ]
    if f"heldout_{estimate}" in values:
        text.append(f"held-out {values[f'heldout_{estimate}']:.4g}")
    if "gradient_penalty" in values:
        text.append(f"penalty {values['gradient_penalty']:.3g}")
    text += [f"{name} {value:.4g}" for name, value in judged.items()]
    text.append(f"generator loss {values['generator_loss']:.4g}")
    text.append(f"{duration((cfg.run.steps - step) / rate)} left")
    line.show("  ".join(text))


class _Look:
    """All that is seen of a run while it goes on."""

    def __init__(self, cfg, spec, dataset, samples, keys, out, watch):
        self.cfg, self.spec, self.samples, self.out = cfg, spec, samples, out
        self.watch = watch
        self.train = dataset.train
        key_fixed, self.key_fresh, key_heldout = keys
        self.count = 2000 if cfg.data.is_points else cfg.run.grid
        self.fixed = self._noise(key_fixed)
        self.sampler = make_sampler(cfg, spec)
        key_dequantize, self.key_heldout = jax.random.split(key_heldout)
        self.heldout_raw = dataset.heldout
        self.heldout_float = data.to_float(
            jnp.asarray(dataset.heldout), cfg.data, key_dequantize
        )
        self.estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))

        @jax.jit
        def diagnose(state, samples, key_real, key):
            batch = spec.draw(samples, key_real, 0)
            real, labels = batch if spec.classes else (batch, None)
            return diagnostics.critic_diagnostics(
                state, real, key, spec=spec, labels=labels
            )

        self.diagnose = diagnose

    def _noise(self, key):
        return np.asarray(jax.random.normal(key, (self.count, self.spec.z_dim)))

    def warm_up(self, state):
        """Compiles what looks, so that the first lines tell the speed of training."""
        jax.block_until_ready(self.critic(state, 0))
        self.sampler(*weights(state), self.fixed)

    def real(self):
        """Held-out or training samples as a picture; also written to samples/."""
        points = self.cfg.data.is_points
        shown = self.heldout_raw if points else self.train[: self.count]
        sheet = picture(shown, self.heldout_raw)
        images.save_png(self.out / "samples" / "real.png", sheet)
        return sheet

    def critic(self, state, step):
        """Held-out estimate and diagnostics, still on the device, as metrics."""
        metrics = {}
        key, key_real, key_diagnose = jax.random.split(
            jax.random.fold_in(self.key_heldout, step), 3
        )
        if len(self.heldout_float):
            name = f"heldout_{losses.ESTIMATES[self.cfg.objective.kind]}"
            metrics[name] = self.estimate(state, self.heldout_float, key)
        if self.cfg.run.diagnostics:
            metrics |= self.diagnose(state, self.samples, key_real, key_diagnose)
        return metrics

    def judge(self, state):
        """The Frechet distance as a metric; the state is kept if it is the best."""
        metric, value = self.watch.metric, self.watch.measure(state)
        keep_best(self.out, state, metric, value)
        return {metric: value}

    def draw(self, state, step, log):
        """Writes the two grids of a step; returns the path of the fixed-noise one."""
        fresh = self._noise(jax.random.fold_in(self.key_fresh, step))
        for name, z in (("fresh", fresh), ("fixed", self.fixed)):
            sheet = picture(self.sampler(*weights(state), z), self.heldout_raw)
            path = self.out / "samples" / f"{name}-{step:07}.png"
            images.save_png(path, sheet)
            log.picture(step, name, sheet)
        log.histograms(step, _named(state.critic.params))
        return path


def _named(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = partial(jax.tree_util.keystr, simple=True, separator="/")
    return {f"critic/{name(path)}": np.asarray(leaf) for path, leaf in leaves}


class _Clock:
    """Time since training began, compilation not counted, and its rate."""

    def __init__(self, step):
        self.step = step
        self.start = self.last = time.perf_counter()

    def elapsed(self):
        """Seconds since the start of this session."""
        return time.perf_counter() - self.start

    def rate(self, step):
        """Steps a second since the step of the last call."""
        now = time.perf_counter()
        rate = (step - self.step) / (now - self.last)
        self.step, self.last = step, now
        return rate

    def leave_out(self, function):
        """function(), whose time is no part of the next rate."""
        start = time.perf_counter()
        found = function()
        self.last += time.perf_counter() - start
        return found


class _StopRequest:
    """Ctrl-C and SIGTERM ask the loop to finish its chunk; a second Ctrl-C does not."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGTERM, self)
        signal.signal(signal.SIGINT, self)

    def __call__(self, number, frame):
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        # print() may not be entered twice, and a signal can come in the middle of one.
        os.write(1, b"\nfinishing this chunk ...\n")


if __name__ == "__main__":
    cli.run(main)
