"""Training loop: metrics, samples, evaluations and checkpoints of a run."""

import math
import time
from functools import partial

import jax.numpy as jnp

from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.training.progress import run_status


class Diverged(UserError):
    """A run with a metric that is not finite."""


class RunRecorder:
    """Records one run while a caller trains it, until `next_count` returns 0.

    The metrics of a chunk are read while the device computes the next one, so that the
    device does not wait for the host; only a state that is sampled, evaluated or saved
    is waited for.
    """

    def __init__(
        self,
        config: Config,
        step: int,
        *,
        monitor,
        checkpoints,
        log,
        stopped,
        progress=None,
        prefetcher=None,
        callback=None,
        name="",
    ):
        """Starts the record of a run at `step`.

        stopped() -> whether to save and end after the current chunk. progress: see
        `make_progress`, None to show nothing. prefetcher: `Prefetcher` of a stream.
        callback(step, metrics) -> whether to save and end, called with each record at
        its step. name: of the run in its warnings, among others.
        """
        self.config = config
        self.step = step
        self.grid = None
        """Path of the newest sample grid."""
        self._monitor = monitor
        self._checkpoints = checkpoints
        self._log = log
        self._stopped = stopped
        self._progress = progress
        self._callback = callback
        self._name = name
        self._saved_step = step
        # (step, metrics on the device) that are not read yet.
        self._pending = None
        if step == 0:
            log.configuration(config)
            monitor.write_real(log)
        self._clock = Clock(step, prefetcher)
        self._done = stopped()

    def next_count(self) -> int:
        """Number of steps to train before the next `update`; 0 at the end."""
        if self._done:
            return 0
        run = self.config.run
        return min(run.chunk - self.step % run.chunk, run.steps - self.step)

    def update(self, state, metrics) -> None:
        """Records the state and the mean metrics after `next_count` steps.

        The caller may donate the state afterwards. Raises Diverged if a metric is not
        finite.
        """
        self.step += self.next_count()
        run, step = self.config.run, self.step
        if self._pending:
            self._record(*self._pending)
            self._pending = None
        # Read once: a signal later in this call ends the next one.
        self._done = step == run.steps or self._stopped()
        sample = self._done or self._is_due(run.sample_every)
        save = self._done or self._is_due(run.checkpoint_every)
        evaluate = self._is_due(run.evaluate_every)
        read_now = sample or save or evaluate
        if read_now or self._is_due(run.log_every):
            metrics = metrics | self._monitor.critic_metrics(state, step)
            if read_now or self._callback:
                # Nothing is made of a state unless it and its metrics are finite.
                values = self._record(step, metrics, state, sample, evaluate)
                if self._callback and self._callback(step, values) and not self._done:
                    self._done = save = True
                    self.grid = self._monitor.write_samples(state, step, self._log)
            else:
                self._pending = step, metrics
        if save:
            self._checkpoints.save(state)
            self._saved_step = step
        if self._done:
            self._checkpoints.wait()

    def _is_due(self, every):
        return every > 0 and self.step % every == 0

    def _record(self, step, metrics, state=None, sample=False, evaluate=False):
        """Reads metrics from the device, writes them and shows the progress.

        sample, evaluate: whether to do so with the state. Returns the record's values.
        """
        values = {name: float(value) for name, value in metrics.items()}
        self._check_finite(values, state, step)
        wait_fraction = self._clock.data_wait_fraction()
        rate = self._clock.rate(step)
        evaluated = {}
        if sample:
            self.grid = self._monitor.write_samples(state, step, self._log)
        if evaluate:
            if self._progress:
                self._progress.clear()
            evaluated = self._clock.exclude(partial(self._monitor.evaluate, state))
        unknown = [name for name, v in evaluated.items() if not math.isfinite(v)]
        for name in unknown:
            del evaluated[name]
        values |= evaluated | wait_fraction
        values |= {"cycles_per_second": rate, "seconds": self._clock.elapsed()}
        self._log.write(step, values, self._new_warnings(step, values, unknown))
        if self._progress:
            self._progress.show(
                run_status(self.config, step, values, evaluated, self._name)
            )
        return values

    def _new_warnings(self, step, values, unknown):
        """{kind: sentence} of warnings that the run has not had; prints them.

        unknown: names of scores that are not finite.
        """
        found = self._monitor.faults([*self._log.recent, {"step": step, **values}])
        for name in unknown:
            found[name] = (
                f"{name} is not finite and is left out of the records and of best.json;"
                " take a larger run.evaluate_num"
            )
        new = {
            kind: f"step {step}: {sentence}"
            for kind, sentence in found.items()
            if kind not in self._log.warnings
        }
        if new and self._progress:
            self._progress.clear()
        run = f"{self._name}, " if self._name else ""
        for sentence in new.values():
            print(f"warning: {run}{sentence}", flush=True)
        return new

    def _check_finite(self, values, state, step):
        names = [name for name, value in values.items() if not math.isfinite(value)]
        if not names and state is not None and not self._monitor.is_finite(state):
            names = ["a weight"]
        if names:
            saved = "No checkpoint is saved yet"
            if self._saved_step:
                saved = f"The checkpoint of step {self._saved_step} is intact"
            cause = (
                f"training diverged: {names[0]} is not finite between steps "
                f"{self._clock.step} and {step}. {saved}; try a lower learning rate"
            )
            self._log.write_divergence(step, cause)
            raise Diverged(cause)


def run_loop(recorder: RunRecorder, state, advance):
    """The state at the end of a run: advance(state, count) -> (state, mean metrics)."""
    while count := recorder.next_count():
        state, metrics = advance(state, jnp.int32(count))
        recorder.update(state, metrics)
    return state


class Clock:
    """Elapsed time and rate of training, without compilation."""

    def __init__(self, step: int, prefetcher=None):
        """prefetcher: that of a stream, whose `wait_seconds` is read."""
        self.step = step
        self._prefetcher = prefetcher
        self._wait_seconds = 0.0
        self._start = self._last = time.perf_counter()

    def elapsed(self) -> float:
        """Seconds since the start of this session."""
        return time.perf_counter() - self._start

    def data_wait_fraction(self) -> dict[str, float]:
        """{"data_wait_fraction": of the time since the last `rate`}; {} if resident."""
        if self._prefetcher is None:
            return {}
        total = self._prefetcher.wait_seconds
        waited = total - self._wait_seconds
        self._wait_seconds = total
        return {"data_wait_fraction": waited / (time.perf_counter() - self._last)}

    def rate(self, step: int) -> float:
        """Steps per second since the previous call."""
        now = time.perf_counter()
        rate = (step - self.step) / (now - self._last)
        self.step, self._last = step, now
        return rate

    def exclude(self, function):
        """Returns function(), whose time does not count towards the next rate."""
        start = time.perf_counter()
        result = function()
        self._last += time.perf_counter() - start
        return result
