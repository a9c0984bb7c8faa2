"""Units of critics' estimates, which compare only where their units are equal."""

import dataclasses

from wgan_jax.config import Config
from wgan_jax.references import short_name


@dataclasses.dataclass(frozen=True)
class Unit:
    """Unit of a critic's estimate: estimates of equal units compare."""

    metric: str
    """Name of the estimate in metrics.jsonl."""
    label: str
    """The constraint that gives the unit, in words."""
    identity: str
    """All that the unit depends on."""


def estimate_unit(config: Config, metric: str, bounded: bool) -> Unit:
    """The unit of the critic's estimate of a configuration.

    An estimate of Wasserstein-1 is in units of the critic's largest slope. A penalty
    sets the slope of any network. A bound on the weights gives every network another
    slope. So may a constraint of the user, by any field of the objective.

    metric: name of the estimate. bounded: the estimate is a divergence with a largest
    value, which no slope affects.
    """
    objective, data = config.objective, config.data
    about: tuple = (data.source, data.dir, data.name, data.array, data.sample_shape)
    about += data.classes, data.scale, data.standardise
    if bounded:
        return Unit(metric, f"{metric}, in its own units", repr((metric, about)))
    constraint, network = objective.constraint, dataclasses.astuple(config.model)
    if constraint == "penalty":
        label = f"penalty, slope {objective.gp_target:g}"
        about += (objective.gp_target,)
    elif constraint == "clip":
        label = f"weights clipped at {objective.clip:g}"
        about += objective.clip, network
    else:
        label = f"constraint {short_name(constraint)}"
        about += dataclasses.astuple(objective), network
    return Unit(metric, label, repr((metric, constraint, about)))
