"""Monitoring of a run: held-out estimate, critic diagnostics, samples."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import pictures
from wgan_jax.algorithm import diagnostics, steps
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.data.batches import to_float
from wgan_jax.data.record import undo_standardise
from wgan_jax.data.text import decode
from wgan_jax.files import write_text
from wgan_jax.runs.checkpoint import is_finite
from wgan_jax.runs.sampling import caption, make_sampler, picture, weights
from wgan_jax.training import health


class MonitorPrograms:
    """Compiled programs of a `Monitor`, shared by runs of equal shapes."""

    def __init__(self, config, spec, get_batch=None):
        """get_batch: of the monitor's samples; None is spec.get_batch."""
        get_batch = get_batch or spec.get_batch
        self.sampler = make_sampler(config, spec)
        self.estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))

        @jax.jit
        def diagnose(state, samples, key_real, key, hyperparameters):
            batch = get_batch(samples, key_real, 0)
            real, labels = batch if spec.classes else (batch, None)
            varied = spec.with_hyperparameters(hyperparameters)
            return diagnostics.critic_diagnostics(
                state, real, key, spec=varied, labels=labels
            )

        self.diagnose = diagnose


class Monitor:
    """Metrics and samples of one run that training itself does not compute."""

    def __init__(
        self,
        config,
        programs,
        dataset,
        samples,
        keys,
        *,
        directory,
        evaluate=None,
        hyperparameters=None,
    ):
        """Draws the fixed noise.

        samples: on the device, for the diagnostics. keys: three PRNG keys, of the fixed
        noise, the fresh noise and the held-out estimate. directory: pictures go to its
        folder samples; None draws none. evaluate(state) -> metrics, with
        run.evaluate_every. hyperparameters: see `Spec.with_hyperparameters`.
        """
        key_fixed, self.key_fresh, key_heldout = keys
        key_dequantize, self.key_heldout = jax.random.split(key_heldout)
        self.config = config
        self.programs = programs
        self.samples = samples
        self.pictures = directory and directory / "samples"
        self.evaluate = evaluate
        self.hyperparameters = hyperparameters or {}
        self.count = 2000 if config.data.is_points else config.run.grid_size
        self.fixed = self._noise(key_fixed)
        self.heldout = dataset.heldout
        points = config.data.is_points and len(dataset.heldout)
        real = dataset.heldout if points else dataset.train[: self.count]
        self.diameter = health.sample_diameter(config, real)
        # In the units of samples.
        self._real = undo_standardise(real, dataset.record.scales)
        self._vocabulary = dataset.record.vocabulary
        # (step, spread) of the newest samples.
        self._spread = -1, None
        self.heldout_float = to_float(
            jnp.asarray(dataset.heldout), config.data, key_dequantize
        )

    def _noise(self, key):
        shape = self.count, self.config.model.z_dim
        return np.asarray(jax.random.normal(key, shape))

    def compile(self, state):
        """Compiles the programs, so that the first logged rate is that of training."""
        jax.block_until_ready(self.critic_metrics(state, 0))
        self.programs.sampler(*weights(state), self.fixed)

    def write_real(self, log):
        """Writes real samples as `write_samples` does."""
        if self.pictures:
            self._write("real", "real", self._real, "real samples", 0, log)

    def critic_metrics(self, state, step):
        """Held-out estimate and diagnostics as metrics that are still on the device."""
        metrics = {}
        key, key_real, key_diagnose = jax.random.split(
            jax.random.fold_in(self.key_heldout, step), 3
        )
        if len(self.heldout_float):
            name = f"heldout_{make_losses(self.config.objective).metric}"
            metrics[name] = self.programs.estimate(state, self.heldout_float, key)
        if self.config.run.diagnostics:
            metrics |= self.programs.diagnose(
                state, self.samples, key_real, key_diagnose, self.hyperparameters
            )
        return metrics

    def write_samples(self, state, step, log):
        """Writes the samples of a step, by fresh and by the run's fixed noise.

        Returns the path of the second: a grid, a plot, or lines of text.
        """
        path = None
        fresh = self._noise(jax.random.fold_in(self.key_fresh, step))
        for name, z in (("fresh", fresh), ("fixed", self.fixed)):
            samples = self.programs.sampler(*weights(state), z)
            if not self.pictures:
                continue
            text = caption(step, state)
            path = self._write(name, f"{name}-{step:07}", samples, text, step, log)
        log.histograms(step, _named_arrays(state.critic.params))
        pair = samples, self._real
        if self._vocabulary:
            one_hot = np.eye(len(self._vocabulary), dtype=bool)
            pair = [one_hot[numbers] for numbers in pair]
        self._spread = step, health.sample_spread(*pair)
        return path

    def _write(self, name, stem, samples, text, step, log):
        """Writes samples, with the caption `text` under a picture; returns the path."""
        if self._vocabulary:
            path, lines = (
                self.pictures / f"{stem}.txt",
                decode(samples, self._vocabulary),
            )
            path.parent.mkdir(exist_ok=True)
            write_text(path, "".join(f"{line}\n" for line in lines))
            log.text(step, name, lines)
            return path
        path = self.pictures / f"{stem}.png"
        grid = pictures.caption(picture(samples, self._real), text)
        pictures.save_png(path, grid)
        log.picture(step, name, grid)
        return path

    def faults(self, records):
        """`health.check` of records up to now, after `write_samples` of their step."""
        step, spread = self._spread
        if step != records[-1]["step"]:
            spread = None
        return health.check(self.config, records, self.diameter, spread)

    def is_finite(self, state):
        """Whether every floating-point number of a state is finite."""
        return is_finite(state)


def _named_arrays(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = partial(jax.tree_util.keystr, simple=True, separator="/")
    return {f"critic/{name(path)}": np.asarray(leaf) for path, leaf in leaves}
