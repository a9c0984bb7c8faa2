"""What is kept of a run while it trains: records, pictures, checkpoints.

`follow` is a generator, so that one loop serves a run alone and many in one program:
it tells how many steps it wants next, and is sent what they made of the state.
"""

import math
import time
from functools import partial

import jax.numpy as jnp

from wgan_jax import config
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.errors import UserError
from wgan_jax.runs.log import duration


class Diverged(UserError):
    """A run whose metrics are not finite: what is done with it is up to the user."""


def follow(cfg, step, monitor, checkpoints, log, line, stopped, prefetcher=None):
    """Keeps what a run leaves behind, from `step` to run.steps.

    Yields the number of steps to take next and is sent (state, mean metrics) after
    them; the state is not touched after the next yield. line: where its progress is
    shown. stopped() -> whether to save and end after this chunk. prefetcher: of a
    stream. Returns (last step, path of the last picture). Raises Diverged where a
    metric is not finite.
    """
    run = cfg.run
    if step == 0:
        log.text("config", config.to_json(cfg))
        log.picture(0, "real", monitor.real())
    record = partial(_record, Clock(step, prefetcher), cfg, log, line)
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
            waiting = (step, metrics | monitor.critic_metrics(state, step))
        if draw or save or judge:
            # Nothing is kept of a state that is not known to be finite.
            record(*waiting, saved, judge and partial(monitor.evaluate, state))
            waiting = None
        if draw:
            sheet = monitor.write_samples(state, step, log)
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
    estimate = make_losses(cfg.objective).metric
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


class Clock:
    """Time since training began, compilation not counted, and its rate."""

    def __init__(self, step, prefetcher=None):
        """prefetcher: see `follow`."""
        self.step, self.prefetcher, self.counted = step, prefetcher, 0.0
        self.start = self.last = time.perf_counter()

    def elapsed(self):
        """Seconds since the start of this session."""
        return time.perf_counter() - self.start

    def stalled(self):
        """{data_wait_fraction: of the time since the last `rate`}, of a stream."""
        if self.prefetcher is None:
            return {}
        total = self.prefetcher.wait_seconds
        new, self.counted = total - self.counted, total
        return {"data_wait_fraction": new / (time.perf_counter() - self.last)}

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
