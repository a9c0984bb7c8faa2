"""Objectives: one file each, named in `OBJECTIVES`.

One sign everywhere: the critic scores real samples high.
"""

from wgan_jax.algorithm.objectives import gan, lsgan, wgan
from wgan_jax.algorithm.objectives.base import Losses
from wgan_jax.config import Objective
from wgan_jax.references import make_named

# By objective.kind: a function of the configuration's section `objective`.
OBJECTIVES = {
    "wgan": wgan.make,
    "gan": gan.make,
    "lsgan": lsgan.make,
}


def make_losses(objective: Objective) -> Losses:
    """The losses of `objective.kind`. Raises UserError for a wrong name."""
    return make_named(Losses, OBJECTIVES, "objective.kind", objective)
