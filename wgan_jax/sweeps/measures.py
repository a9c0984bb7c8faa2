"""Measures that compare the members of a sweep, whatever their critics estimate."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable

import jax

from wgan_jax.config import Config
from wgan_jax.errors import UserError
from wgan_jax.evaluation import table
from wgan_jax.evaluation.distances import (
    LABELS,
    DistanceEvaluation,
    EvaluationProtocol,
    default_num,
    limit_samples,
    run_facts,
)
from wgan_jax.evaluation.images import ImageEvaluation, progress_bars
from wgan_jax.evaluation.table import Evaluation
from wgan_jax.metrics import frechet
from wgan_jax.metrics.features import make_extractor
from wgan_jax.runs import restore
from wgan_jax.runs.directory import read_data_record
from wgan_jax.sweeps.members import Member, shape_groups

POINTS = 2000
"""Most points on each side of an exact W1."""
IMAGES = 10_000
"""Most generated images of a Frechet distance."""


@dataclasses.dataclass(frozen=True)
class Score:
    """The comparable measure of one member."""

    key: str
    """As in evaluation.json."""
    label: str
    data: str
    """Identity of the real samples: scores of other data do not compare."""
    samples: tuple[int, ...]
    value: float | None
    """None where it is withheld."""
    floor: float | None
    """Score of real samples."""
    reason: str = ""
    """Reason to withhold it, or warning about it."""


def measure_members(
    members: list[Member],
    features: str,
    num: int,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Score]:
    """{name of a member: `Score` of its newest checkpoint}, as `evaluate` measures it.

    All measures are added to evaluation.json of the member, and read there if they are
    of the same checkpoint and settings. features: network of the Frechet distance of
    images, or auto for the classifier where the data have labels and patches elsewhere.
    num: samples; 0 takes as many as there are, at most POINTS or IMAGES. stopped():
    whether to end before the next member. A score that is not available is left out,
    with one line that says why.
    """
    scores = {}
    print(f"\nmeasuring {len(members)} run{'s' * (len(members) != 1)}", flush=True)
    for group in shape_groups(members):
        try:
            with jax.default_matmul_precision(group[0].config.run.precision):
                scores |= _measure_group(group, features, num, stopped)
        except UserError as error:
            print(
                f"warning: {group[0].setting or 'the runs'} cannot be ranked: {error}"
            )
    return scores


def _measure_group(members, features, num, stopped):
    """Scores of members that share a program."""
    first = members[0].out
    config, spec, like = restore.initial_state(first)
    scores = {}
    with progress_bars() as progress:
        if config.data.noun != "images":
            evaluation = _of_distances(first, config, spec, num)
            key, labels = "wasserstein", LABELS
            if config.data.is_text:
                key = f"js_{min(4, config.data.length)}"
        else:
            evaluation = _of_images(first, config, spec, features, num, progress)
            key, labels = evaluation.frechet, evaluation.labels()
        data = read_data_record(first).fingerprint or config.data.source
        for member in members:
            if stopped():
                break
            try:
                state = restore.restore_state(member.out, config, like)
                result = _result(member, evaluation, state, key)
            except UserError as error:
                print(f"warning: {member.name} is not measured: {error}")
                continue
            value, floor = (
                result[k] and result[k]["mean"] if k in result else None
                for k in ("value", "reference")
            )
            reason = result.get("withheld", "") or result.get("warning", "")
            samples = tuple(result["samples"])
            scores[member.name] = Score(
                key, labels[key], data, samples, value, floor, reason
            )
    return scores


def _load(run, config):
    # Remarks on the data were printed when the run was trained.
    with contextlib.redirect_stdout(io.StringIO()):
        return restore.load_data(run, config, in_memory=True)


def _of_distances(run, config: Config, spec, num):
    dataset = None if config.data.is_toy else _load(run, config)
    # One draw of the floor was 38 % off for 500 points, and so was the ratio to it.
    num = num or (default_num(config) if config.data.is_text else POINTS)
    protocol = EvaluationProtocol(num=num, repeats=5, seed=0, raw=False)
    protocol = limit_samples(run, config, protocol, dataset)
    return DistanceEvaluation(config, spec, dataset, protocol)


def _of_images(run, config: Config, spec, features, num, progress):
    dataset = _load(run, config)
    if features == "auto" and config.run.evaluate_every:
        # So that the score is that of the curve.
        features = config.run.evaluate_features
    elif features == "auto":
        labelled = dataset.train_labels is not None
        features = "classifier" if labelled else "patches"
    extractor = make_extractor(config, dataset, features, f"--features {features}")
    protocol = EvaluationProtocol(
        num=num or min(len(dataset.train), IMAGES),
        repeats=1,
        seed=0,
        raw=False,
        metrics={"fid": frechet.METRIC},
    )
    return ImageEvaluation(config, spec, dataset, extractor, protocol, progress)


def _result(member, evaluation, state, key):
    """The result of a measure in evaluation.json of a member, measured if missing."""
    path, step = member.out / "evaluation.json", int(state.step)
    protocol = evaluation.protocol
    facts = run_facts(member.out, member.config, state, protocol) | evaluation.facts()
    wanted = json.loads(json.dumps(facts | {"measure": key, "step": step}))

    def saved():
        results = table.read_results(path)
        return [result for result in results if wanted.items() <= result.items()]

    if not saved():
        measures = {step: evaluation.measure(state)}
        table.write_results(path, Evaluation(facts, measures, []))
    return saved()[0]
