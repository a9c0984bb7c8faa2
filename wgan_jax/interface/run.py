"""Training and use of a run from Python: `fit`, `load` and `TrainedRun`."""

import dataclasses
import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from wgan_jax import exports, pictures
from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.config import Config, to_json
from wgan_jax.data.record import DataRecord
from wgan_jax.data.text import decode
from wgan_jax.distributed.sharding import make_sharding
from wgan_jax.distributed.stop import StopRequest
from wgan_jax.errors import UserError
from wgan_jax.evaluation import distances
from wgan_jax.evaluation.distances import EvaluationProtocol
from wgan_jax.evaluation.images import ImageEvaluation, progress_bars
from wgan_jax.files import check_new
from wgan_jax.interface import anomalies, arrays
from wgan_jax.interface.arguments import check_out, check_whole, configuration
from wgan_jax.interface.output import output, session
from wgan_jax.interface.results import Plot, Scores
from wgan_jax.metrics.features import EXTRACTORS, make_extractor
from wgan_jax.metrics.image_scores import find_metrics
from wgan_jax.pages.charts import Series
from wgan_jax.pages.write import write_page
from wgan_jax.runs import directory
from wgan_jax.runs.checkpoint import Checkpoints
from wgan_jax.runs.log import MemoryLog, RunLog, read_records, warnings_of
from wgan_jax.runs.restore import load_data, restore_run
from wgan_jax.runs.sampling import labels as draw_labels
from wgan_jax.runs.sampling import make_sampler, noise, weights
from wgan_jax.sizes import check_memory
from wgan_jax.training.loop import Diverged
from wgan_jax.training.run import Callback, train, train_in_memory
from wgan_jax.training.setup import Setup, load_dataset
from wgan_jax.validation import validate


def fit(
    data,
    config: Config | None = None,
    *,
    labels=None,
    steps: int | None = None,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    progress: bool = True,
    callback: Callback | None = None,
) -> "TrainedRun":
    """Trains a WGAN on data and returns the run.

    data: images uint8 [n, height, width] or [n, height, width, 1 or 3], vectors float
    [n, d], a path that a data source reads, the name of a source without files (digits,
    8gaussians, 25gaussians, swiss_roll), or None for config.data. config: None chooses
    one for the data (`suggest`); the fields of config.data that `data` determines are
    replaced. labels: [n] whole numbers or strings, on which the run is conditioned.
    steps: generator updates; None is config.run.steps. seed: 0 is config.run.seed. out:
    run directory, which all commands read; None writes nothing to disk. progress: print
    compilation, progress and warnings. callback(step, metrics) is called with each
    record; a true result ends training.

    Ctrl-C ends training after the current chunk, and the run so far is returned; a
    second one does at once. Raises UserError for a mistake in an argument.
    """
    with output(progress):
        place = None if out is None else Path(out)
        if config is None and place is not None and (place / "config.json").exists():
            # A new choice may differ.
            config = directory.read_config(place)
        config = configuration(data, config, labels, steps, seed)
        if place is not None:
            source = config.data.source
            config_of_run = arrays.in_directory(config, place)
            # Refuses functions that are not in a file, before the work.
            to_json(config_of_run)
            check_out(place, config_of_run)
        validate(config)
        with session(config, place):
            sharding = make_sharding(config)
            check_memory(config, sharding.count)
            dataset = load_dataset(config, sharding)
            if place is None:
                setup = Setup(config, sharding, dataset)
                run = TrainedRun(
                    config, setup.initial_state(), setup.spec, progress=progress
                )
            else:
                config = config_of_run
                setup = Setup(config, sharding, dataset)
                run = TrainedRun(
                    config, setup.initial_state(), setup.spec, place, progress
                )
                run._began = functools.partial(arrays.write_array, source, place)
            run._setup = setup
    return run.train(callback=callback)


def load(path: str | os.PathLike) -> "TrainedRun":
    """The run in a directory at its newest checkpoint; UserError without one."""
    with output(True):
        config, spec, state = restore_run(path)
    return TrainedRun(config, state, spec, Path(path))


class TrainedRun:
    """A trained run, in memory or in a directory."""

    def __init__(self, config, state, spec, out: Path | None = None, progress=True):
        """state: a `TrainState`; spec: a `Spec`, see wgan_jax.algorithm.state."""
        self.config: Config = config
        self.out = out
        """The run directory; None where the run is in memory."""
        self.state = state
        """Weights, optimizer states and averages: a `TrainState`."""
        self.spec = spec
        """Networks and objective as pure functions: a `Spec`."""
        self.progress = progress
        """True where methods print their progress."""
        self._setup: Setup | None = None
        self._log = MemoryLog()
        self._began: Callable[[], None] = lambda: None
        self._extractors: dict[str, Any] = {}

    def __repr__(self):
        place = f"in {self.out}" if self.out else "in memory"
        count = len(self.warnings)
        warned = f", {count} warning{'s' * (count > 1)}" if count else ""
        steps = f"{self.step} of {self.config.run.steps} steps"
        return f"<wgan_jax run {place}: {steps}{warned}>"

    @property
    def step(self) -> int:
        """Number of generator updates so far."""
        return int(self.state.step)

    # ------------------------------------------------------------------------ training

    def train(
        self, steps: int | None = None, *, callback: Callback | None = None
    ) -> "TrainedRun":
        """Trains more steps, as if all had been trained in one go; returns the run.

        steps: None trains to config.run.steps, as after an interruption. callback: see
        `fit`. Raises UserError where the learning rate has decayed before.
        """
        until, run = self._end(steps), self.config.run
        longer = dataclasses.replace(run, steps=max(until, run.steps))
        config = dataclasses.replace(self.config, run=longer)
        stop = StopRequest((signal.SIGINT,), silent=not self.progress)
        options = {"until": until, "stop": stop, "callback": callback}
        with output(self.progress), session(config, self.out):
            self.config = config
            try:
                self._train(config, options)
            except KeyboardInterrupt as interrupt:
                # A second one, or one before training.
                if self.out is None:
                    raise
                try:
                    self.state = restore_run(self.out)[2]
                except UserError:
                    raise interrupt from None
            if self.step < until:
                stopped = "interrupted" if stop.requested else "ended"
                print(
                    f"{stopped} at step {self.step} of {until}: run.train() continues"
                )
        return self

    def _train(self, config, options):
        if self.out is None:
            setup, state = self._loaded(), jax.tree.map(jax.numpy.copy, self.state)
            earlier = self._log
            self._log = MemoryLog(earlier.recent)
            try:
                trained = train_in_memory(config, setup, state, self._log, **options)
            except Diverged as error:
                self._log = earlier
                # The rest is about files.
                cause = str(error).split(". ")[0]
                raise Diverged(f"{cause}: try a lower learning rate") from None
            except BaseException:
                self._log = earlier
                raise
            step = int(trained.state.step)
            records = [r for r in self._log.recent if r["step"] <= step]
            self._log = MemoryLog(records)
        else:
            trained = train(
                config,
                make_sharding(config),
                self.out,
                setup=self._setup,
                extend=True,
                began=self._began,
                **options,
            )
            self._setup = trained.setup
        self.state = trained.state

    def _end(self, steps):
        run, decay = self.config.run, self.config.optimizer.decay
        if steps is None:
            return max(run.steps, self.step)
        if type(steps) is not int or steps < 1:
            raise UserError(f"steps={steps!r} must be a whole number above 0")
        until = self.step + steps
        if until > run.steps and decay != "constant" and self.step:
            raise UserError(
                f"steps={steps} would end at step {until}, and the learning rate has "
                f"decayed to 0 at run.steps={run.steps}: fit with more steps, or with "
                "optimizer.decay='constant'"
            )
        return until

    def _loaded(self) -> Setup:
        """Data and programs, loaded when they are first needed."""
        if self._setup is None:
            sharding = make_sharding(self.config)
            record = directory.read_data_record(self.out)
            dataset = load_dataset(self.config, sharding, record)
            directory.check_same_data(self.out, dataset.record)
            self._setup = Setup(self.config, sharding, dataset)
        return self._setup

    # ------------------------------------------------------------------------- results

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Columns of the records by name: `step`, and floats [n], NaN where missing."""
        records = self._records()
        names = {name: None for r in records for name in r if name != "warnings"}
        columns = {
            name: np.array([r.get(name, np.nan) for r in records], np.float64)
            for name in names
        }
        steps = np.array([r["step"] for r in records], np.int64)
        return {"step": steps} | {k: v for k, v in columns.items() if k != "step"}

    @property
    def warnings(self) -> list[str]:
        """Sentences on implausible records, see the section Warnings of usage.md."""
        return list(warnings_of(self._records()).values())

    def _records(self):
        if self.out is None:
            return list(self._log.recent)
        return read_records(self.out / "metrics.jsonl")

    def plot(self, *names: str) -> Plot:
        """A chart of columns of the history; without names, of the estimates."""
        history = self.history
        if not names:
            metric = make_losses(self.config.objective).metric
            names = tuple(n for n in (metric, f"heldout_{metric}") if n in history)
        for name in names:
            if name not in history:
                raise UserError(
                    f"plot has no column {name}: history has {', '.join(history)}"
                )
        steps = history["step"].tolist()
        series = [Series(name, steps, history[name].tolist()) for name in names]
        return Plot(series, ", ".join(names))

    # ------------------------------------------------------------------------- samples

    @property
    def labels(self) -> list:
        """The label of each class of a conditional run, as in the data."""
        if not self.spec.classes:
            return []
        record = self._record()
        return list(record.label_names or record.labels or range(self.spec.classes))

    def _record(self) -> DataRecord:
        if self._setup is not None:
            return self._setup.dataset.record
        return directory.read_data_record(self.out)

    def sample(
        self, n: int | None = None, *, seed: int = 0, latents=None, labels=None
    ) -> np.ndarray:
        """Samples [n, ...] in the units and the shape of the data; strings [n] of text.

        n: None is 64, or the number of latents. seed: of the noise, and of the labels
        that are drawn in their shares of the data. latents: noise [n, z_dim] instead of
        the seed. labels: of a conditional run, one or [n], see `labels`.
        """
        if n is None:
            n = 64 if latents is None else len(latents)
        check_whole("n", n, 1)
        check_whole("seed", seed, 0)
        z = noise(seed, n, self.spec.z_dim)
        if latents is not None:
            z = self._check_latents(latents, (n, self.spec.z_dim))
        classes = self._classes(labels, n)
        if classes is None:
            classes = draw_labels(self.spec, seed, n)
        return self._generate(z, classes)

    def interpolate(
        self, n: int = 8, *, steps: int = 8, seed: int = 0, latents=None, labels=None
    ) -> np.ndarray:
        """Samples [n, steps, ...] along n ways from one latent to another.

        Each way is an arc, on which the noise stays typical. latents: the two ends of
        each way, [n, 2, z_dim], instead of the seed. labels: one, or one for each way;
        None takes the classes in turn.
        """
        if latents is not None:
            n = len(latents)
        check_whole("n", n, 1)
        check_whole("steps", steps, 2)
        check_whole("seed", seed, 0)
        ends = noise(seed, 2 * n, self.spec.z_dim).reshape(2, n, -1)
        if latents is not None:
            ends = self._check_latents(latents, (n, 2, self.spec.z_dim)).swapaxes(0, 1)
        z = pictures.interpolation(ends[0], ends[1], steps)
        classes = self._classes(labels, n)
        if classes is None:
            classes = np.arange(n) % max(self.spec.classes, 1)
        samples = self._generate(z, np.repeat(classes, steps))
        return samples.reshape(n, steps, *samples.shape[1:])

    def _check_latents(self, latents, shape):
        z = np.asarray(latents, np.float32)
        if z.shape != shape:
            raise UserError(
                f"latents are {list(z.shape)}: this run needs {list(shape)}"
            )
        return z

    def _classes(self, labels, count):
        """The class of each sample; None where no labels are given."""
        if labels is None:
            return None
        known = self.labels
        if not known:
            raise UserError("labels are given, and the run has none: leave them out")
        given = np.asarray(labels)
        if not given.ndim:
            given = np.repeat(given, count)
        if given.shape != (count,):
            raise UserError(f"labels are {list(given.shape)}: give one, or [{count}]")
        for label in given.tolist():
            if label not in known:
                raise UserError(
                    f"labels have {label!r}, and the run knows {str(known)[1:-1]}"
                )
        return np.array([known.index(label) for label in given.tolist()], np.int32)

    def _generate(self, z, classes):
        with session(self.config, self.out):
            samples = self._sampler(*weights(self.state), z, classes)
        if self.config.data.is_text:
            return np.array(decode(samples, self._record().vocabulary))
        if arrays.has_channels(self.config.data):
            return samples
        return samples[..., 0]

    @functools.cached_property
    def _sampler(self):
        return make_sampler(self.config, self.spec)

    def export(
        self,
        path: str | os.PathLike,
        format: str = "",
        *,
        network: str = "generator",
        overwrite: bool = False,
    ) -> tuple[Path, ...]:
        """Writes networks as files of another program; returns the paths.

        format: safetensors, stablehlo, torch or onnx; empty takes the one of the suffix
        of `path`. network: generator, critic or both. See docs/export.md.
        """
        with output(self.progress):
            return exports.write(
                self.config,
                self.spec,
                self.state,
                path,
                format=format,
                network=network,
                record=self._record(),
                overwrite=overwrite,
            ).files

    # ---------------------------------------------------------------------- evaluation

    def evaluate(
        self,
        *metrics: str,
        features: str = "",
        num: int = 0,
        repeats: int = 0,
        seed: int = 0,
    ) -> Scores:
        """{name: (mean, standard deviation)} of distances from the truth.

        Without metrics: exact W1 of points, sliced W1 of images, n-gram divergences of
        text, held-out estimate and calibrated critic's estimate; for images also `fid`
        and `kid`. metrics: names of
        `evaluate --metrics`, such as "fid" or "prdc". features: inception, classifier
        or patches; empty is a classifier trained on the labels of the data, or patches
        where there are none. num: samples on each side; 0 is 2000, or 640 lines of
        text, and at most the held-out ones. repeats: 0 is 5, or 1 for metrics.
        """
        if features not in ("", *EXTRACTORS):
            known = ", ".join(EXTRACTORS)
            raise UserError(f"features={features} is not known: take one of {known}")
        with output(self.progress), session(self.config, self.out):
            dataset = self._loaded().dataset
            labelled = dataset.train_labels is not None
            features = features or ("classifier" if labelled else "patches")
            if metrics:
                return Scores(
                    *self._scores(dataset, metrics, features, num, repeats or 1, seed)
                )
            measures, names = self._distances(dataset, num, repeats or 5, seed)
            if self.config.data.noun == "images":
                try:
                    scores, labels = self._scores(
                        dataset, ("fid", "kid"), features, num, repeats or 1, seed
                    )
                    measures, names = measures | scores, names | labels
                except UserError as error:
                    # Images that are too small or too few for the features.
                    print(f"fid and kid are left out: {error}")
        return Scores(measures, names)

    def _distances(self, dataset, num, repeats, seed):
        num = num or distances.default_num(self.config)
        protocol = EvaluationProtocol(num, repeats, seed, raw=False)
        real = None if self.config.data.is_toy else dataset
        protocol = distances.limit_samples("the run", self.config, protocol, real)
        evaluation = distances.DistanceEvaluation(
            self.config, self.spec, real, protocol
        )
        return evaluation.measure(self.state), evaluation.labels()

    def _scores(self, dataset, metrics, features, num, repeats, seed):
        if self.config.data.noun != "images":
            kind = "points" if self.config.data.is_points else "text"
            raise UserError(f"{metrics[0]} needs images, and this run is on {kind}")
        protocol = EvaluationProtocol(
            num or min(2000, len(dataset.train)),
            repeats,
            seed,
            raw=False,
            metrics=find_metrics(metrics),
        )
        if features not in self._extractors:
            option = f"features={features}"
            self._extractors[features] = make_extractor(
                self.config, dataset, features, option
            )
        with progress_bars() as progress:
            evaluation = ImageEvaluation(
                self.config,
                self.spec,
                dataset,
                self._extractors[features],
                protocol,
                progress,
            )
            return evaluation.measure(self.state), evaluation.labels()

    def anomaly_scores(
        self,
        images,
        *,
        calibration=None,
        false_alarm_rate: float = 0.05,
        num: int = 500,
        **options,
    ) -> anomalies.AnomalyScores:
        """Scores, p-values, verdicts and heat maps of images; see docs/anomaly.md.

        images: uint8 [n, height, width] or [n, height, width, 1 or 3], resized as the
        run's own, or a path. calibration: normal images that the run was not trained
        on, in the same forms; None takes the held-out ones. false_alarm_rate: 0 gives
        scores alone. num: images to calibrate on at most. options: method (f-anogan or
        anogan), seed, raw, and the options of the command `anomaly`. The encoder of
        f-anogan is saved in the run directory; a run in memory trains it in each call.
        """
        with output(self.progress), session(self.config, self.out):
            dataset = self._loaded().dataset
            if dataset.stream:
                dataset = load_data(self.out, self.config, in_memory=True)
            return anomalies.anomaly_scores(
                self.config,
                self.spec,
                self.state,
                dataset,
                images,
                calibration,
                false_alarm_rate,
                self.out,
                num,
                options,
            )

    # ------------------------------------------------------------------------- to disk

    def save(self, path: str | os.PathLike) -> Path:
        """Writes a run directory, which all commands and `load` read; returns its path.

        It has the newest state, its samples and the history. Raises UserError where
        `path` has content already.
        """
        path = Path(path)
        check_new(path, "path")
        config = arrays.in_directory(self.config, path)
        with output(self.progress), session(config, path):
            setup = self._loaded()
            with directory.claimed(path, config) as begin:
                begin(setup.dataset.record)
                source = self.config.data.source
                arrays.write_array(source, path)
                with RunLog(path, self.step, config.run.tensorboard) as log:
                    for record in map(dict, self._records()):
                        warnings = record.pop("warnings", None)
                        log.write(record.pop("step"), record, warnings)
                    monitor = setup.monitor(config, directory=path)
                    monitor.write_real(log)
                    monitor.write_samples(self.state, self.step, log)
                with Checkpoints(
                    path / "checkpoints", config.run.max_to_keep
                ) as checkpoints:
                    checkpoints.save(self.state)
                    checkpoints.wait()
        return path

    def report(self, path: str | os.PathLike | None = None) -> Path:
        """Writes the page of a run with a directory; returns its path.

        path: NAME.html; None is report.html in the directory, which is replaced. Raises
        UserError for a run in memory, and where `path` exists.
        """
        if self.out is None:
            raise UserError(
                "a run in memory has no directory to write a page about: take "
                "run.save(path), then wgan_jax.load(path).report()"
            )
        if path is not None:
            check_new(Path(path), "path")
        with output(self.progress):
            return write_page([self.out], None if path is None else Path(path))
