"""Warnings about a run whose records are finite and yet implausible."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from wgan_jax.algorithm.objectives import make_losses
from wgan_jax.config import Config, Objective

WARM_UP = 500
"""Critic updates before which slopes and signs show the initial weights only; the code
of Arjovsky et al. begins with 2,500."""
STARTED = 200
"""Generator updates before which samples show the initial weights only: those of a
small generator without norms start with a spread of 0.01."""
IN_A_ROW = 3
"""Records in a row that show a fault which noise shows in a single one."""
EXCESS = 3
"""Multiple of the largest estimate or slope of a critic at its optimum that one on the
way there does not reach: the runs of `configs/` stay below 0.2."""
STEEP = 20
"""Multiple of the target slope that makes an estimate useless, even where the softness
of the penalty explains it; the best slope of the toys, whose penalty is the softest, is
below 10."""
SOFT = 2
"""Multiple of the slope that the softness of the penalty explains."""
FREE_LIMIT = 1e6
"""Largest estimate where the critic's Lipschitz constant is unknown, as with clipping;
those of `configs/` stay below 10."""
JUMP = 1000
"""Multiple of the median so far that such an estimate does not reach: it decreases in
training, in the runs of `configs/` by a factor of up to 60."""
ROUNDING = 1e-6
"""Relative difference of two means of scores that is rounding in float32."""
DEAD = 1e-8
"""Estimate below which the epsilon of the optimizers exceeds the critic's gradient."""
BELOW_CHANCE = -3.0
"""Estimate of a bounded distance that a critic far worse than a constant has. The best
constant has 0, scores of zero have -1 with lsgan, and healthy runs noise down to -2."""
COLLAPSED = 0.02
"""Spread of samples that are one image: that of collapsed generators is below 0.007
(panel 6 of docs/figures/generators.json), of others above 0.4."""


def check(
    config: Config,
    records: Sequence[dict],
    diameter: float = math.inf,
    spread: float | None = None,
) -> dict[str, str]:
    """{kind: cause and remedy} of the faults that the newest record shows.

    records: newest last; more than the last hundred are not needed. diameter:
    `sample_diameter`. spread: `sample_spread`, None where no samples were drawn.
    """
    objective, record = config.objective, records[-1]
    losses = make_losses(objective)
    needed = {losses.metric, "generator_loss"}
    if objective.constraint == "penalty":
        needed |= {"gradient_norm", "gradient_penalty"}
    # A line of metrics.jsonl may be damaged.
    records = [r for r in records if needed <= r.keys()]
    trained = [r for r in records if r["step"] * objective.n_critic >= WARM_UP]
    recent = trained[-IN_A_ROW:] if len(trained) >= IN_A_ROW else []
    faults = {"estimate": _estimate(config, records, diameter)}
    if losses.bounded:
        faults["worse than chance"] = _worse_than_chance(objective, recent)
    elif losses.metric == "wasserstein":
        faults["dead critic"] = _dead_critic(objective, recent)
    if objective.constraint == "penalty":
        faults["penalty"] = _penalty(objective, record, diameter)
        faults["slopes"] = _slopes(objective, recent)
        faults["mirrored critic"] = _mirrored_critic(objective, recent, diameter)
    if spread is not None and spread < COLLAPSED and record["step"] >= STARTED:
        faults["one image"] = (
            "all samples are almost the same: their standard deviation is "
            f"{spread:.2g} of that of the real ones; train again with a lower "
            "optimizer.generator_lr, or with another objective.constraint"
        )
    return {kind: sentence for kind, sentence in faults.items() if sentence}


def _steepest(objective: Objective, diameter):
    """Largest mean slope at the critic's optimum: docs/theory.md, for W = diameter."""
    if not objective.gp_weight:
        return math.inf
    return objective.gp_target + diameter / (2 * objective.gp_weight)


def _estimate(config, records, diameter):
    objective, record = config.objective, records[-1]
    name = make_losses(objective).metric
    if objective.constraint == "penalty" and name == "wasserstein":
        limit = EXCESS * diameter * _steepest(objective, diameter)
    else:
        limit = FREE_LIMIT
        earlier = [abs(r[name]) for r in records[:-1]]
        if len(earlier) >= IN_A_ROW:
            jump = max(JUMP * statistics.median(earlier), EXCESS * diameter)
            limit = min(limit, jump)
    limit = limit if math.isfinite(limit) else FREE_LIMIT
    names = [n for n in (name, f"heldout_{name}") if abs(record.get(n, 0)) > limit]
    if not names:
        return None
    clip = " or a smaller objective.clip" * (objective.constraint == "clip")
    return (
        f"{names[0]} is {record[names[0]]:.3g}, but a plausible value is at most "
        f"{limit:.2g} in size: training diverges; train again with lower learning rates"
        f"{clip}"
    )


def _worse_than_chance(objective, recent):
    name = make_losses(objective).metric
    if not recent or any(r[name] > BELOW_CHANCE for r in recent):
        return None
    return (
        f"{name} is {recent[-1][name]:.3g} and was below {BELOW_CHANCE:g} in "
        f"{IN_A_ROW} records in a row, but a critic that scores everything equally has "
        "0: the critic is worse than chance; train again with a lower "
        "optimizer.critic_lr"
    )


def _dead_critic(objective, recent):
    def dead(record):
        scale = max(DEAD, ROUNDING * abs(record["generator_loss"]))
        return abs(record["wasserstein"]) <= scale

    if not recent or not all(map(dead, recent)):
        return None
    remedy = {
        "clip": "a larger objective.clip, or fewer model.critic_widths",
        "penalty": "a lower optimizer.critic_lr, or another run.seed",
    }.get(objective.constraint, "another objective.constraint")
    return (
        f"wasserstein is {recent[-1]['wasserstein']:.3g}, zero up to rounding, in "
        f"{IN_A_ROW} records in a row: the critic scores real and generated samples "
        f"equally and no longer trains the generator; train again with {remedy}"
    )


def _penalty(objective, record, diameter):
    limit = EXCESS * _steepest(objective, diameter)
    slope, penalty = record["gradient_norm"], record["gradient_penalty"]
    if slope <= limit and penalty <= limit**2:
        return None
    return (
        f"the penalty explodes: gradient_penalty is {penalty:.3g} and gradient_norm "
        f"{slope:.3g}, but a plausible slope is at most {limit:.2g}; train again with "
        "a lower optimizer.critic_lr"
    )


def _slopes(objective, recent):
    """Slopes above twice those that the softness of the penalty explains.

    At its optimum a critic's estimate is 2 weight E[m (m - target)] (docs/theory.md),
    so that the mean slope is at most target + W / (2 weight), W the estimate divided by
    the mean slope.
    """
    target, weight = objective.gp_target, objective.gp_weight

    def limit(record):
        limits = [STEEP * target] if target else []
        if "wasserstein" in record and weight:
            distance = abs(record["wasserstein"]) / max(record["gradient_norm"], 1e-12)
            limits.append(SOFT * (target + distance / (2 * weight)))
        return min(limits, default=math.inf)

    if not recent or any(r["gradient_norm"] <= limit(r) for r in recent):
        return None
    return (
        f"gradient_norm is {recent[-1]['gradient_norm']:.3g} and was above "
        f"{limit(recent[-1]):.2g} in {IN_A_ROW} records in a row, but "
        f"objective.gp_target is {target:g}: the estimate is too high by about their "
        "ratio; train again with a larger objective.gp_weight or a lower "
        "optimizer.critic_lr"
    )


def _mirrored_critic(objective, recent, diameter):
    target = objective.gp_target
    if objective.one_sided or not recent or "wasserstein" not in recent[0]:
        return None

    def mirrored(record):
        at_target = target / 2 <= record["gradient_norm"] <= 2 * target
        return at_target and record["wasserstein"] < -target * diameter / 100

    if not all(map(mirrored, recent)):
        return None
    return (
        f"wasserstein is {recent[-1]['wasserstein']:.3g}, negative at a slope of "
        f"{recent[-1]['gradient_norm']:.3g}, in {IN_A_ROW} records in a row: the "
        "critic is in the mirrored maximum of the two-sided penalty and scores "
        "generated samples above real ones; train again with objective.one_sided=True, "
        "a smaller objective.gp_weight, or another run.seed"
    )


def sample_diameter(config: Config, points: np.ndarray) -> float:
    """Largest distance of two samples, in the networks' units.

    points: real samples [n, d] of a run on points, to which zero is added, where a
    generator starts. Images have the diagonal of the cube of pixel values, and lines of
    text the distance of two without a common character. Infinite where it is unknown.
    """
    if config.data.is_points:
        if not len(points):
            return math.inf
        high, low = points.max(0).clip(0), points.min(0).clip(None, 0)
        return float(np.linalg.norm(high - low))
    if config.data.is_text:
        return math.sqrt(2 * config.data.length)
    width = {"symmetric": 2, "unit": 1}[config.data.scale]
    return width * math.sqrt(math.prod(config.data.sample_shape))


def sample_spread(samples: np.ndarray, real: np.ndarray) -> float | None:
    """Standard deviation over samples, as a share of that over real ones.

    samples, real: images [n, h, w, c] or one-hot text, whose numbers are summed, or
    points [n, d], of which each column counts equally. None where it is undefined.
    """
    if min(len(samples), len(real)) < 2:
        return None
    ours, theirs = (np.std(a, 0, dtype=np.float32) for a in (samples, real))
    varied = theirs > 0
    if not varied.any():
        return None
    if samples.ndim == 2:
        return float((ours[varied] / theirs[varied]).mean())
    return float(ours.sum() / theirs.sum())
