"""What is kept of a run while it trains: records, pictures, checkpoints.

`follow` is a generator, so that one loop serves a run alone and many in one program:
it tells how many steps it wants next, and is sent what they made of the state.
"""

import math
import os
import signal
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import config, data, diagnostics, hosts, images, losses, steps, stream
from wgan_jax.config import Config, UserError
from wgan_jax.devices import ONE_DEVICE, Share
from wgan_jax.log import duration
from wgan_jax.sample import make_sampler, picture, weights
from wgan_jax.state import make_spec
from wgan_jax.watch import keep_best

# Of a stream, the images that diagnostics are drawn from.
SEEN = 2048


class Diverged(UserError):
    """A run whose metrics are not finite: what is done with it is up to the user."""


def prepare(cfg: Config, share: Share = ONE_DEVICE):
    """(dataset, samples, spec) of a configuration: what its steps need but a state.

    samples: what `Spec.draw` takes batches from, on every device; where the dataset is
    a stream, zeros of the same shapes, to compile for.
    """
    if share.count > 1:
        where = f" of {jax.process_count()} processes" * (jax.process_count() > 1)
        print(f"{share.count} devices{where} share each batch of {cfg.data.batch_size}")
    labelled = bool(cfg.model.classes)
    dataset = stream.load(cfg, share)
    if dataset.stream:
        print(dataset.stream)
        samples = dataset.stream.blank_window(share, hosts.place())
        draw = data.make_window_draw(cfg.data, labelled)
    else:
        samples = share.hold(_samples(cfg, dataset))
        draw = data.make_draw(cfg.data, len(dataset.train), labelled)
    return dataset, samples, make_spec(cfg, draw, share)


def seen(cfg, spec, dataset, samples):
    """(draw, samples) of what `Look` sees: of a stream, a few that stay on the device.

    samples: what `prepare` gives.
    """
    if not dataset.stream or not cfg.run.diagnostics:
        return spec.draw, samples
    count = min(max(SEEN, cfg.data.batch_size), len(dataset.train))
    draw = data.make_draw(cfg.data, count, bool(cfg.model.classes))
    return draw, spec.share.copy(dataset.stream.some(count))


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


def follow(cfg, step, look, checkpoints, log, line, stopped, waited=None):
    """Keeps what a run leaves behind, from `step` to run.steps.

    Yields the number of steps to take next and is sent (state, mean metrics) after
    them; the state is not touched after the next yield. line: where its progress is
    shown. stopped() -> whether to save and end behind this chunk. waited() -> seconds
    that the device has been without data, of a stream. Returns (last step, path of the
    last picture). Raises Diverged where a metric is not finite.
    """
    run = cfg.run
    if step == 0:
        log.text("config", config.to_json(cfg))
        log.picture(0, "real", look.real())
    record = partial(_record, Clock(step, waited), cfg, log, line)
    saved, waiting, done, sheet = step, None, stopped(), None
    while not done:
        count = min(run.chunk - step % run.chunk, run.steps - step)
        state, metrics = yield count
        step += count
        if waiting:
            # Read while the chunk just begun keeps the device busy.
            record(*waiting, saved)
            waiting = None
        # Asked once: a signal later in this round ends the next one.
        done = step == run.steps or stopped()
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
    return step, sheet


def drive(follower, state, advance):
    """Trains one run to its end: advance(state, count) -> (state, metrics).

    Returns what `follow` returns.
    """
    try:
        count = next(follower)
        while True:
            state, metrics = advance(state, jnp.int32(count))
            count = follower.send((state, metrics))
    except StopIteration as end:
        return end.value


def _record(clock, cfg, log, line, step, metrics, saved, judge=None):
    """Reads one record from the device, writes it, and shows it.

    judge() -> more of it, once the rest is known to be finite. Raises Diverged where
    it is not; `saved` is the last step kept.
    """
    values = {name: float(value) for name, value in metrics.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        kept = f"step {saved} is kept" if saved else "nothing is kept yet"
        raise Diverged(
            f"{bad[0]} is not finite between steps {clock.step} and {step}: training "
            f"has diverged; {kept}, and a lower learning rate is the first thing to try"
        )
    stalled = clock.stalled()
    rate = clock.rate(step)
    judged = {}
    if judge:
        line.clear()
        judged = clock.leave_out(judge)
    values |= judged | stalled
    values |= {"cycles_per_second": rate, "seconds": clock.elapsed()}
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
    text += [f"waiting for data {share:.0%}" for share in stalled.values()]
    text.append(f"{duration((cfg.run.steps - step) / rate)} left")
    line.show("  ".join(text))


class Programs:
    """What looks at runs of one shape, compiled once for all of them."""

    def __init__(self, cfg, spec, draw=None):
        """draw: of the samples that Look has, where that is not what training draws."""
        draw = draw or spec.draw
        self.share = spec.share
        self.sampler = make_sampler(cfg, spec)
        self.estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))

        @jax.jit
        def diagnose(state, samples, key_real, key, numbers):
            batch = draw(samples, key_real, 0)
            real, labels = batch if spec.classes else (batch, None)
            return diagnostics.critic_diagnostics(
                state, real, key, spec=spec.with_numbers(numbers), labels=labels
            )

        self.diagnose = diagnose


class Look:
    """All that is seen of a run while it goes on."""

    def __init__(
        self,
        cfg,
        programs,
        dataset,
        samples,
        keys,
        out,
        watch,
        numbers=None,
        written=None,
    ):
        """keys: three, of what is drawn to look. numbers: see `Spec.with_numbers`.

        out: the run's directory. written: where this process writes pictures, if not
        there.
        """
        self.cfg, self.programs, self.samples, self.out = cfg, programs, samples, out
        self.pictures = (written or out) / "samples"
        self.watch, self.numbers = watch, numbers or {}
        self.train = dataset.train
        key_fixed, self.key_fresh, key_heldout = keys
        self.count = 2000 if cfg.data.is_points else cfg.run.grid
        self.fixed = self._noise(key_fixed)
        key_dequantize, self.key_heldout = jax.random.split(key_heldout)
        self.heldout_raw = dataset.heldout
        self.heldout_float = data.to_float(
            jnp.asarray(dataset.heldout), cfg.data, key_dequantize
        )

    def _noise(self, key):
        return np.asarray(jax.random.normal(key, (self.count, self.cfg.model.z_dim)))

    def warm_up(self, state):
        """Compiles what looks, so that the first lines tell the speed of training."""
        jax.block_until_ready(self.critic(state, 0))
        self.programs.sampler(*weights(state), self.fixed)

    def real(self):
        """Held-out or training samples as a picture; also written to samples/."""
        points = self.cfg.data.is_points
        shown = self.heldout_raw if points else self.train[: self.count]
        sheet = picture(shown, self.heldout_raw)
        images.save_png(self.pictures / "real.png", sheet)
        return sheet

    def critic(self, state, step):
        """Held-out estimate and diagnostics, still on the device, as metrics."""
        metrics = {}
        key, key_real, key_diagnose = jax.random.split(
            jax.random.fold_in(self.key_heldout, step), 3
        )
        if len(self.heldout_float):
            name = f"heldout_{losses.ESTIMATES[self.cfg.objective.kind]}"
            metrics[name] = self.programs.estimate(state, self.heldout_float, key)
        if self.cfg.run.diagnostics:
            metrics |= self.programs.diagnose(
                state, self.samples, key_real, key_diagnose, self.numbers
            )
        return metrics

    def judge(self, state):
        """The Frechet distance as a metric; the state is kept if it is the best."""
        metric, value = self.watch.metric, self.watch.measure(state)
        keep_best(self.out, state, metric, value, self.programs.share)
        return {metric: value}

    def draw(self, state, step, log):
        """Writes the two grids of a step; returns the path of the fixed-noise one."""
        fresh = self._noise(jax.random.fold_in(self.key_fresh, step))
        for name, z in (("fresh", fresh), ("fixed", self.fixed)):
            sheet = picture(self.programs.sampler(*weights(state), z), self.heldout_raw)
            path = self.pictures / f"{name}-{step:07}.png"
            images.save_png(path, sheet)
            log.picture(step, name, sheet)
        log.histograms(step, _named(state.critic.params))
        return path


def _named(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = partial(jax.tree_util.keystr, simple=True, separator="/")
    return {f"critic/{name(path)}": np.asarray(leaf) for path, leaf in leaves}


class Clock:
    """Time since training began, compilation not counted, and its rate."""

    def __init__(self, step, waited=None):
        """waited: see `follow`."""
        self.step, self.waited, self.counted = step, waited, 0.0
        self.start = self.last = time.perf_counter()

    def elapsed(self):
        """Seconds since the start of this session."""
        return time.perf_counter() - self.start

    def stalled(self):
        """{stall_share: of the time since the last `rate`}, of a stream."""
        if self.waited is None:
            return {}
        new, self.counted = self.waited() - self.counted, self.waited()
        return {"stall_share": new / (time.perf_counter() - self.last)}

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


class StopRequest:
    """Ctrl-C and SIGTERM ask the loop to finish its chunk; a second Ctrl-C does not."""

    def __init__(self):
        self.requested = False
        signal.signal(signal.SIGTERM, self)
        signal.signal(signal.SIGINT, self)

    def __call__(self, number, frame):
        """Takes a signal."""
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True
        # print() may not be entered twice, and a signal can come in the middle of one.
        os.write(1, b"\nfinishing this chunk ...\n")
