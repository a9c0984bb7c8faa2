"""Monitor."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from wgan_jax import pictures
from wgan_jax.algorithm import diagnostics, steps
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.data.batches import to_float
from wgan_jax.runs.sampling import make_sampler, picture, weights
from wgan_jax.training.best import keep_best


class MonitorPrograms:
    """What looks at runs of one shape, compiled once for all of them."""

    def __init__(self, cfg, spec, draw=None):
        """draw: of the samples that Look has, where that is not what training draws."""
        draw = draw or spec.get_batch
        self.sharding = spec.sharding
        self.sampler = make_sampler(cfg, spec)
        self.estimate = jax.jit(partial(steps.heldout_estimate, spec=spec))

        @jax.jit
        def diagnose(state, samples, key_real, key, numbers):
            batch = draw(samples, key_real, 0)
            real, labels = batch if spec.classes else (batch, None)
            return diagnostics.critic_diagnostics(
                state, real, key, spec=spec.with_hyperparameters(numbers), labels=labels
            )

        self.diagnose = diagnose


class Monitor:
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
        self.count = 2000 if cfg.data.is_points else cfg.run.grid_size
        self.fixed = self._noise(key_fixed)
        key_dequantize, self.key_heldout = jax.random.split(key_heldout)
        self.heldout_raw = dataset.heldout
        self.heldout_float = to_float(
            jnp.asarray(dataset.heldout), cfg.data, key_dequantize
        )

    def _noise(self, key):
        return np.asarray(jax.random.normal(key, (self.count, self.cfg.model.z_dim)))

    def compile(self, state):
        """Compiles what looks, so that the first lines tell the speed of training."""
        jax.block_until_ready(self.critic_metrics(state, 0))
        self.programs.sampler(*weights(state), self.fixed)

    def real(self):
        """Held-out or training samples as a picture; also written to samples/."""
        points = self.cfg.data.is_points
        shown = self.heldout_raw if points else self.train[: self.count]
        sheet = picture(shown, self.heldout_raw)
        pictures.save_png(self.pictures / "real.png", sheet)
        return sheet

    def critic_metrics(self, state, step):
        """Held-out estimate and diagnostics, still on the device, as metrics."""
        metrics = {}
        key, key_real, key_diagnose = jax.random.split(
            jax.random.fold_in(self.key_heldout, step), 3
        )
        if len(self.heldout_float):
            name = f"heldout_{make_losses(self.cfg.objective).metric}"
            metrics[name] = self.programs.estimate(state, self.heldout_float, key)
        if self.cfg.run.diagnostics:
            metrics |= self.programs.diagnose(
                state, self.samples, key_real, key_diagnose, self.numbers
            )
        return metrics

    def evaluate(self, state):
        """The Frechet distance as a metric; the state is kept if it is the best."""
        metric, value = self.watch.metric, self.watch.measure(state)
        keep_best(self.out, state, metric, value, self.programs.sharding)
        return {metric: value}

    def write_samples(self, state, step, log):
        """Writes the two grids of a step; returns the path of the fixed-noise one."""
        fresh = self._noise(jax.random.fold_in(self.key_fresh, step))
        for name, z in (("fresh", fresh), ("fixed", self.fixed)):
            sheet = picture(self.programs.sampler(*weights(state), z), self.heldout_raw)
            path = self.pictures / f"{name}-{step:07}.png"
            pictures.save_png(path, sheet)
            log.picture(step, name, sheet)
        log.histograms(step, _named(state.critic.params))
        return path


def _named(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = partial(jax.tree_util.keystr, simple=True, separator="/")
    return {f"critic/{name(path)}": np.asarray(leaf) for path, leaf in leaves}
